"""Opens a data directory, or makes one with the key of its log."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.app.keys import default_key_file, read_key_file, write_key_file
from meshtrail.errors import ConfigError, KeyFileError, NoteSyntaxError
from meshtrail.note import (
    SignerKey,
    VerifierKey,
    check_origin,
    format_vkey,
    generate_signer,
    parse_vkey,
)
from meshtrail.store.layout import Format, Layout, create_layout, read_format
from meshtrail.verify.pins import write_pin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.config import LogOptions
    from meshtrail.store.durable import Disk

_RANDOM_BYTES = 4
_ORIGIN_PARTS = 3


@dataclass(frozen=True, slots=True)
class OpenData:
    """A data directory as it describes itself. Its key is a claim, not trust."""

    layout: Layout
    origin: str
    claimed_key: VerifierKey


@dataclass(frozen=True, slots=True)
class OwnedData:
    """A data directory and the private key that signs for it."""

    layout: Layout
    signer: SignerKey
    key_file: Path
    is_new: bool


def open_data(root: Path) -> OpenData:
    """Open a data directory to read it.

    Raises:
        LayoutError: it is none, or of a newer layout.
    """
    layout = Layout(root)
    described = read_format(layout)
    try:
        key = parse_vkey(described.key)
    except NoteSyntaxError as error:
        raise KeyFileError(
            f"{layout.format_file}: {error.message}", path=layout.format_file
        ) from error
    return OpenData(layout, described.origin, key)


def open_owned_data(
    disk: Disk, root: Path, *, log: LogOptions, key_file: Path | None, home: Path, pins_file: Path
) -> OwnedData:
    """Open a data directory with its private key; make both on the first start.

    Args:
        disk: what the layout is written with.
        root: made, with its parents, when it is not there.
        log: the first two parts of a new log's origin; an existing log keeps its own.
        key_file: the private key; None for the default one in ``home``. A new log takes its origin
            from a key that is there already, as `meshtrail keys make` wrote it.
        home: where keys lie by default.
        pins_file: a new log's key is pinned there: this machine made it.

    Raises:
        LayoutError: of a newer layout.
        KeyFileError: the key is missing, readable by others, or another log's.
        ConfigError: the directory holds something else.
    """
    _make_root(root)
    with _held(root):
        layout = Layout(root)
        if not layout.format_file.exists():
            _check_unused(root)
            return _create(disk, layout, log=log, key_file=key_file, home=home, pins_file=pins_file)
        found = open_data(root)
        path = key_file or default_key_file(home, found.origin)
        signer = read_key_file(path, data=root)
        if signer.verifier != found.claimed_key:
            raise KeyFileError(
                f"{path} is the key of {signer.name}+{signer.key_id.hex()}, {root} belongs to "
                f"{found.origin}+{found.claimed_key.key_id.hex()}",
                path=path,
                want=format_vkey(found.claimed_key),
                got=format_vkey(signer.verifier),
            )
        return OwnedData(layout, signer, path, is_new=False)


def _create(
    disk: Disk,
    layout: Layout,
    *,
    log: LogOptions,
    key_file: Path | None,
    home: Path,
    pins_file: Path,
) -> OwnedData:
    if key_file is not None and key_file.exists():
        signer = read_key_file(key_file, data=layout.root)
        path = key_file
        _check_log_name(signer.name, key_file)
    else:
        signer = generate_signer(f"{log.mesh}/{log.cluster}/{secrets.token_hex(_RANDOM_BYTES)}")
        path = key_file or default_key_file(home, signer.name)
        # Before format.toml names it: a log without its key could never be signed again.
        write_key_file(path, signer, data=layout.root)
    write_pin(pins_file, signer.verifier)
    create_layout(disk, layout, Format(signer.name, format_vkey(signer.verifier)))
    return OwnedData(layout, signer, path, is_new=True)


def _check_log_name(name: str, path: Path) -> None:
    """The key's name becomes the origin: <mesh>/<cluster>/<8 hex digits>."""
    check_origin(name)
    parts = name.split("/")
    if len(parts) != _ORIGIN_PARTS or not all(parts):
        raise KeyFileError(
            f"{path} is the key of {name!r}, which cannot name a log: want MESH/CLUSTER/ID",
            path=path,
        )


def _make_root(root: Path) -> None:
    try:
        root.mkdir(mode=0o750, parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigError(f"{root} is a file, not a data directory", path=root) from None
    except OSError as error:
        raise ConfigError(f"data directory {root}: {error.strerror}", path=root) from error


def _check_unused(root: Path) -> None:
    """Refuse to make a log among other files, but for what a crash left of a first start."""
    ours = {folder.relative_to(root).parts[0] for folder in Layout(root).folders()}
    ours |= {"format.toml.tmp", "lock"}
    foreign = sorted(path.name for path in root.iterdir() if path.name not in ours)
    if foreign:
        raise ConfigError(
            f"{root} is no data directory and not empty (it has {foreign[0]}): name another",
            path=root,
        )


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """One start at a time: two first starts would make two keys for one directory."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
