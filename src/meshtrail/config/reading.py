"""Reads the configuration file, lays the command line over it, refuses what it does not know."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from meshtrail.config.configuration import Configuration
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

Tables = dict[str, Any]


def read_tables(path: Path) -> Tables:
    """The tables of a TOML file.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", path=path) from error


def make_configuration(
    tables: Tables, *, overrides: Mapping[str, object], folder: Path
) -> Configuration:
    """Put options together: an override wins over the file, the file over the defaults.

    Args:
        tables: from ``read_tables``, or empty.
        overrides: by ``section.key``; None where the command line said nothing.
        folder: what relative paths in the file are relative to.

    Raises:
        ConfigError: a key that does not exist, a value of another type or outside its range; names
            the key.
    """
    merged: Tables = dict(tables)
    for name, value in overrides.items():
        if value is not None:
            section, _, key = name.partition(".")
            known = merged.get(section, {})
            merged[section] = {**known, key: value} if isinstance(known, dict) else known
    return _decode(merged, Configuration, place="", folder=folder)


def _decode(table: object, kind: type[T], *, place: str, folder: Path) -> T:
    """An options dataclass from a table; a typo must not silently mean the default."""
    if not isinstance(table, dict):
        raise ConfigError(f"{place} is a section: write it as [{place}]", key=place)
    # Options name Path for type checkers only, so it has to be told here what it is.
    known = get_type_hints(kind, localns={"Path": Path})
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{place}.{key}".lstrip(".")
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
            raise ConfigError(f"there is no option {name}: {hint}", key=name)
        if dataclasses.is_dataclass(known[key]):
            values[key] = _decode(value, known[key], place=name, folder=folder)
        elif (repeated := _repeated(known[key])) is not None:
            values[key] = _decode_repeated(value, repeated, name=name, folder=folder)
        else:
            values[key] = _decode_value(value, known[key], name=name, folder=folder)
    return kind(**values)


def _repeated(kind: object) -> type | None:
    """What an option that is written as tables holds, each in double brackets; None for others."""
    inner = get_args(kind)[:1] if get_origin(kind) is tuple else ()
    is_tables = bool(inner) and isinstance(inner[0], type) and dataclasses.is_dataclass(inner[0])
    return inner[0] if is_tables else None


def _decode_repeated(value: object, kind: type[T], *, name: str, folder: Path) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{name} may stand several times: write it as [[{name}]]", key=name)
    wanted = {
        field.name
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]  # it was looked up as one
        if field.default is dataclasses.MISSING
    }
    for table in value:
        lacking = sorted(wanted - set(table)) if isinstance(table, dict) else []
        if lacking:
            raise ConfigError(f"{name} needs {' and '.join(lacking)}", key=f"{name}.{lacking[0]}")
    return tuple(_decode(table, kind, place=name, folder=folder) for table in value)


def _decode_value(value: object, kind: type, *, name: str, folder: Path) -> object:
    """One value of exactly the type that its option has; relative paths start at ``folder``."""

    def to_path(_: type, value: object) -> Path:
        if not isinstance(value, str | Path):
            raise TypeError(f"Expected a path, got `{type(value).__name__}`")
        return folder / value

    try:
        return msgspec.convert(value, kind, strict=True, dec_hook=to_path)
    except msgspec.ValidationError as error:
        message = str(error)
        raise ConfigError(f"{name}: {message[0].lower()}{message[1:]}", key=name) from error
