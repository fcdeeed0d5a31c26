"""Private keys on disk: outside DATA, mode 0600, read and written here and nowhere else.

No message repeats anything that stands in a key file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtrail.errors import KeyFileError, NoteSyntaxError
from meshtrail.note import SignerKey, format_private_key, parse_private_key
from meshtrail.store.durable import Disk, sync_directory

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY_BYTES_MAX: Final = 4_096
_PREFIX: Final = b"PRIVATE+KEY+"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def home_directory(environment: Mapping[str, str]) -> Path:
    """Where keys and pins lie unless somebody says otherwise."""
    if named := environment.get("MESHTRAIL_HOME"):
        return Path(named).absolute()
    home = environment.get("HOME")
    return (Path(home) if home else Path.home()) / ".config" / "meshtrail"


def default_key_file(home: Path, origin: str) -> Path:
    """The key file of a log that was given none of its own."""
    return home / "keys" / f"{origin.replace('/', '_')}.key"


def read_key_file(path: Path, *, data: Path | None = None) -> SignerKey:
    """Read a private key.

    Args:
        path: the key file.
        data: the data directory, in which no key may lie.

    Raises:
        KeyFileError: it is missing, lies in DATA, can be read by others, or is no private key.
    """
    check_outside(path, data, what="private key")
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: between two looks a path can change.
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_KEY_BYTES_MAX + 1)
    except FileNotFoundError:
        raise KeyFileError(
            f"there is no private key {path}. Put the log's key back there, or name it with --key",
            path=path,
        ) from None
    except OSError as error:
        raise KeyFileError(f"private key {path}: {error.strerror}", path=path) from error
    if mode & _OTHERS:
        raise KeyFileError(
            f"private key {path} has mode {stat.S_IMODE(mode):04o}: others than its owner have "
            f"rights on it. Consider it known to them, or run: chmod 600 {path}",
            path=path,
            want=0o600,
            got=stat.S_IMODE(mode),
        )
    try:
        text = content.decode("ascii").removesuffix("\n")
        return parse_private_key(text)
    except (UnicodeDecodeError, NoteSyntaxError):
        # Not chained: the cause could quote the file.
        raise KeyFileError(f"{path} does not hold one private key", path=path) from None


def write_key_file(path: Path, signer: SignerKey, *, data: Path | None = None) -> None:
    """Write a new private key, durably, so that only its owner can read it.

    Raises:
        KeyFileError: the file is there already, lies in DATA, or cannot be written.
    """
    check_outside(path, data, what="private key")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{format_private_key(signer)}\n".encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise KeyFileError(f"{path} is there already; a key is never replaced", path=path) from None
    except OSError as error:
        raise KeyFileError(f"private key {path}: {error.strerror}", path=path) from error
    sync_directory(Disk(), path.parent)


def check_outside(path: Path, data: Path | None, *, what: str) -> None:
    """Check that a key or the like does not lie in DATA, of which others get copies.

    Args:
        path: of the file.
        data: the data directory, None when it is not known.
        what: the file is, for people.

    Raises:
        KeyFileError: it does. Whoever gets a copy of the evidence could sign another.
    """
    if data is not None and path.resolve().is_relative_to(data.resolve()):
        raise KeyFileError(
            f"{what} {path} lies in the data directory {data}: keep it elsewhere", path=path
        )


def is_private_key_file(path: Path) -> bool:
    """Whether a file begins like a private key; says nothing of whether it is a good one."""
    try:
        with path.open("rb") as file:
            return file.read(len(_PREFIX)) == _PREFIX
    except OSError:
        return False
