"""The tokens file, read again when it changes: to revoke a token must not take a restart."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from meshtrail.collect.tokens import parse_tokens
from meshtrail.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.diag import Diag
    from meshtrail.collect.tokens import Token

_BYTES_MAX: Final = 8 << 20
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_Version = tuple[int, int, int, int]


class TokenFile:
    """The tokens that are good now.

    Raises:
        ConfigError: the file cannot be read, is not what it should be, or others than its owner
            can write to it.
    """

    def __init__(self, path: Path, *, diag: Diag) -> None:
        self._path = path
        self._diag = diag
        self._version, self._tokens = _read(path)
        self._refused: _Version | str | None = None

    def find(self, token_id: str) -> Token | None:
        """The token of that id, as the file says now.

        A bad file changes nothing: the tokens in use stay, and an alarm says why.
        """
        self._read_changed()
        return self._tokens.get(token_id)

    def _read_changed(self) -> None:
        seen: _Version | str
        try:
            seen = _version(self._path.stat())
        except OSError as error:
            seen = error.strerror or "it cannot be read"
        if seen in (self._version, self._refused):
            return
        try:
            self._version, self._tokens = _read(self._path)
        except ConfigError as error:
            self._refused = seen
            self._diag.error("tokens_refused", reason=error.message)
            return
        self._refused = None
        self._diag.info("tokens_read", path=str(self._path), tokens_count=len(self._tokens))


def _read(path: Path) -> tuple[_Version, dict[str, Token]]:
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: between two looks a path can change.
            status = os.fstat(file.fileno())
            data = file.read(_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"tokens {path}: {error.strerror}", path=path) from error
    if status.st_mode & _WRITABLE_BY_OTHERS:
        raise ConfigError(
            f"tokens {path} has mode {stat.S_IMODE(status.st_mode):04o}: others than its owner can "
            f"write to it, and let in whom they like. Look through it, then run: chmod 600 {path}",
            path=path,
        )
    if len(data) > _BYTES_MAX:
        raise ConfigError(f"tokens {path} is larger than {_BYTES_MAX} bytes", path=path)
    try:
        return _version(status), parse_tokens(data)
    except InputError as error:
        raise ConfigError(f"tokens {path} {error.message}", path=path) from error


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
