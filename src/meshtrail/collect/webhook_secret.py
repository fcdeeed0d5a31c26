"""The secret of a webhook, in a file that its owner alone can read; read again when it changes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from meshtrail.collect.watched_file import WatchedFile
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.diag import Diag

SECRET_BYTES_MAX: Final = 4 << 10


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
        self._diag = diag

        def parse(data: bytes) -> bytes:
            secret = data.rstrip(b"\r\n")
            if not secret or len(data) > SECRET_BYTES_MAX or b"\n" in secret:
                raise ConfigError(
                    f"webhook secret {path}: want one line of 1 to {SECRET_BYTES_MAX} bytes",
                    path=path,
                )
            return secret

        self._file = WatchedFile(
            path,
            what="webhook secret",
            parse=parse,
            bytes_max=SECRET_BYTES_MAX,
            closed_bits=stat.S_IRWXG | stat.S_IRWXO,
            danger="who can read it can send in its name. Make another one",
        )

    def current(self) -> bytes:
        """The secret, as the file says now. A bad file changes nothing, and an alarm says why."""
        try:
            if self._file.read_changed():
                self._diag.info("webhook_secret_read", path=str(self._file.path))
        except ConfigError as error:
            self._diag.error("webhook_secret_refused", reason=error.message)
        return self._file.value
