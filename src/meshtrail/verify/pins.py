"""Which key is trusted: named by the caller, pinned at an earlier use, or only claimed by the data.

A pin file holds verifier keys, one a line; the key of the log's name (its origin) counts. The
first use of a log writes its claimed key there and still calls it not pinned: somebody has to
compare the fingerprint once. Pins and ``--key`` files lie outside DATA, so plain files are read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtrail.errors import ConfigError, LayoutError, NoteSyntaxError, SignatureError
from meshtrail.note import VerifierKey, format_fingerprint, format_vkey, parse_vkey
from meshtrail.store.layout import Layout, read_format

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_FILE_BYTES_MAX: Final = 1 << 20


class KeySource(StrEnum):
    """Where trust in a key comes from."""

    OPTION = "option"
    PIN = "pin"
    CLAIM = "claim"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """The key that signatures are held against, and why.

    Attributes:
        source: ``CLAIM`` when nothing outside the data vouches for it.
        pins_file: where a pin was found or written; None otherwise.
    """

    verifier: VerifierKey
    source: KeySource
    pins_file: Path | None = None

    @property
    def is_pinned(self) -> bool:
        """Whether the key came from outside what is checked."""
        return self.source is not KeySource.CLAIM

    @property
    def fingerprint(self) -> str:
        """What two people compare."""
        return format_fingerprint(self.verifier)

    @property
    def vkey(self) -> str:
        """The key as one line."""
        return format_vkey(self.verifier)

    def as_json(self) -> dict[str, object]:
        """Plain facts, for reports."""
        return {
            "pinned": self.is_pinned,
            "source": str(self.source),
            "vkey": self.vkey,
            "fingerprint": self.fingerprint,
        }

    def render(self) -> str:
        """One line for people."""
        if self.is_pinned:
            return f"key pinned ({self.source}): {self.fingerprint}"
        return f"key NOT pinned, compare this fingerprint: {self.fingerprint}"


def default_pins_file(environment: Mapping[str, str]) -> Path:
    """``$MESHTRAIL_HOME/pins``, or ``~/.config/meshtrail/pins``."""
    home = environment.get("MESHTRAIL_HOME")
    return (Path(home) if home else Path.home() / ".config" / "meshtrail") / "pins"


def parse_key_option(text: str) -> VerifierKey:
    """The key that ``--key`` names: a verifier key itself, or a file that holds one.

    Raises:
        NoteSyntaxError: neither.
    """
    try:
        return parse_vkey(text)
    except NoteSyntaxError as error:
        not_a_key = error
    try:
        return parse_vkey(_read_text(Path(text)).strip("\n"))
    except OSError as error:
        no_file = error.strerror or "it cannot be read"
    except (NoteSyntaxError, ValueError) as error:
        no_file = str(error)
    # The value is not repeated and nothing is chained: it could be a private key, by mistake.
    raise NoteSyntaxError(
        f"--key is no verifier key ({not_a_key.message}) and no file that holds one ({no_file})"
    )


def read_pins(pins_file: Path) -> dict[str, VerifierKey]:
    """The pinned keys by name; none when there is no file.

    Raises:
        ConfigError: the file cannot be read, a line is no verifier key, or two name one log.
    """
    try:
        lines = _read_text(pins_file).split("\n")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"the pins in {pins_file} cannot be read: {error}") from error
    pins: dict[str, VerifierKey] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            key = parse_vkey(line)
        except NoteSyntaxError as error:
            raise ConfigError(f"{pins_file} line {number}: {error}", path=pins_file) from error
        if pins.setdefault(key.name, key) != key:
            raise ConfigError(f"{pins_file} pins two keys of {key.name!r}", path=pins_file)
    return pins


def write_pin(pins_file: Path, key: VerifierKey) -> None:
    """Add a key to the pins.

    Raises:
        ConfigError: another key of that name is pinned already, or the file cannot be written.
    """
    pinned = read_pins(pins_file).get(key.name)
    if pinned == key:
        return
    if pinned is not None:
        raise ConfigError(
            f"{pins_file} already pins {format_vkey(pinned)}; remove that line to trust another key"
        )
    try:
        pins_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(pins_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(f"{format_vkey(key)}\n".encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"the pin cannot be written to {pins_file}: {error}") from error


def find_key(
    *,
    origin: str,
    claimed: VerifierKey | None,
    key_option: str | None,
    pins_file: Path,
    is_pin_required: bool = False,
) -> TrustedKey:
    """The key to check a log's signatures with: the option's, else the pinned, else the claimed.

    Args:
        origin: the log's name, which its key has too.
        claimed: the key that the data itself names; None when it names none.
        key_option: a verifier key, or a file that holds one.
        pins_file: the pinned keys.
        is_pin_required: whether a key that is only claimed is refused.

    Raises:
        SignatureError: the trusted key is of another log, or another than the claimed one.
        ConfigError: there is no key at all, or none from outside though one is required.
    """
    if key_option is not None:
        trusted = TrustedKey(verifier=parse_key_option(key_option), source=KeySource.OPTION)
    elif pinned := read_pins(pins_file).get(origin):
        trusted = TrustedKey(verifier=pinned, source=KeySource.PIN, pins_file=pins_file)
    elif is_pin_required or claimed is None:
        raise ConfigError(
            f"no key of {origin!r} is pinned in {pins_file}: give the log's key with --key",
            origin=origin,
        )
    else:
        trusted = TrustedKey(verifier=claimed, source=KeySource.CLAIM)
    if trusted.verifier.name != origin:
        raise SignatureError(
            f"the trusted key is of another log: want {origin!r}, got {trusted.verifier.name!r}",
            want=origin,
            got=trusted.verifier.name,
        )
    if claimed is not None and claimed != trusted.verifier:
        raise SignatureError(
            f"{origin} is signed with another key than the trusted one: want {trusted.vkey}, "
            f"it claims {format_vkey(claimed)}",
            want=trusted.vkey,
            got=format_vkey(claimed),
        )
    return trusted


def find_log_key(
    root: Path,
    *,
    key_option: str | None,
    pins_file: Path,
    is_pin_required: bool = False,
    is_remembering: bool = True,
) -> TrustedKey:
    """The key to check a data directory with; the first use of a log pins the claimed key.

    Args:
        root: the data directory; only its format.toml is read.
        key_option: a verifier key, or a file that holds one.
        pins_file: the pinned keys.
        is_pin_required: whether a key that is only claimed is refused.
        is_remembering: whether a key that is only claimed is written to the pins.

    Raises:
        LayoutError: not a data directory, or its claimed key is no key.
        SignatureError, ConfigError, NoteSyntaxError: see ``find_key``.
    """
    described = read_format(Layout(root))
    try:
        claimed = parse_vkey(described.key)
    except NoteSyntaxError as error:
        raise LayoutError(f"{root / 'format.toml'} claims a key that is none: {error}") from error
    trusted = find_key(
        origin=described.origin,
        claimed=claimed,
        key_option=key_option,
        pins_file=pins_file,
        is_pin_required=is_pin_required,
    )
    if is_remembering and not trusted.is_pinned:
        write_pin(pins_file, claimed)
        return TrustedKey(verifier=claimed, source=KeySource.CLAIM, pins_file=pins_file)
    return trusted


def _read_text(path: Path) -> str:
    """The beginning of a text file; what lies beyond the bound makes no key."""
    with path.open("rb") as file:
        return file.read(KEY_FILE_BYTES_MAX).decode("utf-8")
