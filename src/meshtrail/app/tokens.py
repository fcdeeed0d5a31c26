"""The tokens file, written: outside DATA, whole or not at all, one writer at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from meshtrail.app.keys import check_outside
from meshtrail.collect.tokens import format_tokens, parse_tokens
from meshtrail.errors import ConfigError, InputError, NotFoundError
from meshtrail.store.durable import Disk, replace_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meshtrail.collect.tokens import Token

_OWNER: Final = 0o600
_READABLE_BY_GROUP: Final = 0o040


def default_tokens_file(home: Path) -> Path:
    """The tokens file where none is named."""
    return home / "tokens"


def read_tokens(path: Path) -> dict[str, Token]:
    """The tokens in a file by id; none when there is no file.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        return parse_tokens(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"tokens {path}: {error.strerror}", path=path) from error
    except InputError as error:
        raise ConfigError(f"tokens {path} {error.message}", path=path) from error


def add_token(path: Path, token: Token, *, data: Path) -> None:
    """Add a token to a file, made when it is not there.

    Raises:
        ConfigError: the file lies in DATA, cannot be written, or holds something else.
        InputError: a token of that name is there already.
        DurabilityError: it may not be on disk.
    """
    check_outside(path, data, what="tokens")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"tokens {path}: {error.strerror}", path=path) from error
    with _held(path):
        tokens = read_tokens(path)
        if token.name in {known.name for known in tokens.values()}:
            raise InputError(
                f"{path} has a token {token.name} already: revoke it first, or take another name",
                path=path,
            )
        _write(path, {**tokens, token.id: token})


def revoke_token(path: Path, name_or_id: str) -> Token:
    """Take a token out of a file; collect refuses it from now on.

    Raises:
        NotFoundError: there is none of that name or id.
        ConfigError: the file cannot be written, or holds something else.
        DurabilityError: it may still be in the file on disk.
    """
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no tokens file {path}", path=path)
    with _held(path):
        tokens = read_tokens(path)
        for token in tokens.values():
            if name_or_id in (token.name, token.id):
                del tokens[token.id]
                _write(path, tokens)
                return token
    raise NotFoundError(f"{path} has no token {name_or_id!r}", path=path)


class _PrivateDisk(Disk):
    """A disk on which a new file has the rights of the one that it replaces.

    Only its owner may write to it; the group may read it where it could before, for a collector
    that runs as somebody else than whoever makes tokens.
    """

    def __init__(self, replaced: Path) -> None:
        try:
            self._before: os.stat_result | None = replaced.stat()
        except FileNotFoundError:
            self._before = None

    def open(self, path: Path, flags: int) -> int:
        """Open or create."""
        descriptor = os.open(path, flags | os.O_CLOEXEC, _OWNER)
        if flags & os.O_CREAT:
            before = self._before
            os.fchmod(descriptor, _OWNER)
            if before is not None:
                if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, _OWNER | stat.S_IMODE(before.st_mode) & _READABLE_BY_GROUP)
        return descriptor


def _write(path: Path, tokens: dict[str, Token]) -> None:
    replace_file(_PrivateDisk(path), path, format_tokens(tokens.values()))


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Keep other writers of the folder out: two that add at once must not lose a token."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"tokens {path}: {error.strerror}", path=path) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
