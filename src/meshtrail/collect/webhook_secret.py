"""The secret of a webhook, in a file that its owner alone can read; read again when it changes."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.diag import Diag

SECRET_BYTES_MAX: Final = 4 << 10

_OPEN_TO_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_Version = tuple[int, int, int, int]


class WebhookSecret:
    """The secret that is good now.

    Args:
        path: of the file. The line feed that editors put at its end is not part of the secret.
        diag: hears of changes.

    Raises:
        ConfigError: the file cannot be read, others than its owner can do anything with it, or it
            holds no secret. The message repeats none of it.
    """

    def __init__(self, path: Path, *, diag: Diag) -> None:
        self._path = path
        self._diag = diag
        self._version, self._secret = _read(path)
        self._refused: _Version | str | None = None

    def current(self) -> bytes:
        """The secret, as the file says now. A bad file changes nothing, and an alarm says why."""
        seen: _Version | str
        try:
            seen = _version(self._path.stat())
        except OSError as error:
            seen = error.strerror or "it cannot be read"
        if seen in (self._version, self._refused):
            return self._secret
        try:
            self._version, self._secret = _read(self._path)
        except ConfigError as error:
            self._refused = seen
            self._diag.error("webhook_secret_refused", reason=error.message)
            return self._secret
        self._refused = None
        self._diag.info("webhook_secret_read", path=str(self._path))
        return self._secret


def _read(path: Path) -> tuple[_Version, bytes]:
    try:
        with path.open("rb") as file:
            # Of the open file, not of the path: between two looks a path can change.
            status = os.fstat(file.fileno())
            data = file.read(SECRET_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(f"webhook secret {path}: {error.strerror}", path=path) from error
    if status.st_mode & _OPEN_TO_OTHERS:
        raise ConfigError(
            f"webhook secret {path} has mode {stat.S_IMODE(status.st_mode):04o}: who can read it "
            f"can send in its name. Make another one, then run: chmod 600 {path}",
            path=path,
        )
    secret = data.rstrip(b"\r\n")
    if not secret or len(data) > SECRET_BYTES_MAX or b"\n" in secret:
        raise ConfigError(
            f"webhook secret {path}: want one line of 1 to {SECRET_BYTES_MAX} bytes", path=path
        )
    return _version(status), secret


def _version(status: os.stat_result) -> _Version:
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
