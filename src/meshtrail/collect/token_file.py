"""The tokens file, read again when it changes: to revoke a token must not take a restart."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from meshtrail.collect.tokens import parse_tokens
from meshtrail.collect.watched_file import WatchedFile
from meshtrail.errors import ConfigError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.diag import Diag
    from meshtrail.collect.tokens import Token

_BYTES_MAX: Final = 8 << 20


class TokenFile:
    """The tokens that are good now.

    Raises:
        ConfigError: the file cannot be read, is not what it should be, or others than its owner
            can write to it.
    """

    def __init__(self, path: Path, *, diag: Diag) -> None:
        self._diag = diag

        def parse(data: bytes) -> dict[str, Token]:
            if len(data) > _BYTES_MAX:
                raise ConfigError(f"tokens {path} is larger than {_BYTES_MAX} bytes", path=path)
            try:
                return parse_tokens(data)
            except InputError as error:
                raise ConfigError(f"tokens {path} {error.message}", path=path) from error

        self._file = WatchedFile(
            path,
            what="tokens",
            parse=parse,
            bytes_max=_BYTES_MAX,
            closed_bits=stat.S_IWGRP | stat.S_IWOTH,
            danger="others than its owner can write to it, and let in whom they like. Look through "
            "it",
        )

    def find(self, token_id: str) -> Token | None:
        """The token of that id, as the file says now.

        A bad file changes nothing: the tokens in use stay, and an alarm says why.
        """
        try:
            if self._file.read_changed():
                count = len(self._file.value)
                self._diag.info("tokens_read", path=str(self._file.path), tokens_count=count)
        except ConfigError as error:
            self._diag.error("tokens_refused", reason=error.message)
        return self._file.value.get(token_id)
