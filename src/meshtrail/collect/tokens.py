"""Tokens that senders without a certificate show, and the file that knows them by their hashes.

A token is ``mtt_<id>_<secret>``. The file has one JSON object a line and holds no secret: the
SHA-256 of 256 random bits tells nothing about them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from meshtrail.collect.payloads import encode_json
from meshtrail.errors import InputError
from meshtrail.model.record_formats import RECORD_FORMATS
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TOKEN_SOURCES: Final = ("envoy-als", "envoy-metrics", "otlp", *RECORD_FORMATS)
"""What a token can be good for. Webhooks take none: their senders cannot show one."""

DAYS_MAX: Final = 3_650

_TOKEN: Final = re.compile(r"mtt_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
_PATTERN_CHARS_MAX: Final = 256
_PATTERNS_BYTES_MAX: Final = 8_192
_SECOND: Final = 1_000_000_000
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What is known of a token; never its secret.

    Attributes:
        id: 16 hex digits, part of the token itself.
        name: what people call it, and what the log says of its senders.
        secret_sha256: of the 32 bytes of its secret.
        sources: kinds of telemetry that it is good for.
        reporters: patterns of the names that its senders may claim.
        created_ns: when it was made, whole seconds.
        expires_ns: from when on it is refused, whole seconds.
    """

    id: str
    name: str
    secret_sha256: bytes
    sources: tuple[str, ...]
    reporters: tuple[str, ...]
    created_ns: UnixNanos
    expires_ns: UnixNanos

    def __post_init__(self) -> None:
        """Raise InputError for what could not be told apart, or would allow nothing."""
        if not _ID.fullmatch(self.id):
            raise InputError(f"token id {self.id!r}: want 16 hex digits")
        # Revoking takes a name or an id, so that none may look like the other.
        if not _NAME.fullmatch(self.name) or _ID.fullmatch(self.name):
            raise InputError(
                f"token name {self.name!r}: want 1 to 63 letters, digits, dots, dashes and "
                "underscores, and not 16 hex digits"
            )
        if len(self.secret_sha256) != _SECRET_BYTES:
            raise InputError(f"token {self.name}: want the SHA-256 of its secret")
        unknown = set(self.sources) - set(TOKEN_SOURCES)
        if unknown or not self.sources:
            raise InputError(
                f"token {self.name}: sources are {', '.join(TOKEN_SOURCES)}, got "
                f"{', '.join(sorted(unknown)) or 'none'}"
            )
        for pattern in self.reporters:
            if not 0 < len(pattern) <= _PATTERN_CHARS_MAX or not pattern.isprintable():
                raise InputError(
                    f"token {self.name}: a reporter is 1 to {_PATTERN_CHARS_MAX} printable "
                    f"characters, got {pattern[:_PATTERN_CHARS_MAX]!r}"
                )
        # They stand in the stream-opened entry of each of its streams, which has an end.
        if sum(len(pattern.encode()) for pattern in self.reporters) > _PATTERNS_BYTES_MAX:
            raise InputError(
                f"token {self.name}: its reporters are over {_PATTERNS_BYTES_MAX} bytes together"
            )
        if not self.reporters:
            raise InputError(f"token {self.name}: name its reporters; * is any")
        if self.expires_ns <= self.created_ns:
            raise InputError(f"token {self.name}: expires before it was made")

    def has_secret(self, secret: bytes) -> bool:
        """Whether this is its secret; takes the same time whatever the answer."""
        return hmac.compare_digest(hashlib.sha256(secret).digest(), self.secret_sha256)

    def as_json(self) -> dict[str, object]:
        """Plain facts, as the file has them."""
        return {
            "id": self.id,
            "name": self.name,
            "sha256": self.secret_sha256.hex(),
            "sources": list(self.sources),
            "reporters": list(self.reporters),
            "created": format_time(self.created_ns),
            "expires": format_time(self.expires_ns),
        }


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of the file."""

    id: str
    name: str
    sha256: str
    sources: tuple[str, ...]
    reporters: tuple[str, ...]
    created: str
    expires: str


def make_token(
    name: str,
    *,
    sources: Sequence[str],
    reporters: Sequence[str],
    now_ns: UnixNanos,
    days: int,
) -> tuple[Token, str]:
    """A new token, and its text, which is shown once and kept nowhere.

    Raises:
        InputError: a name, source, pattern or period that makes no sense.
    """
    if not 1 <= days <= DAYS_MAX:
        raise InputError(f"a token is good for 1 to {DAYS_MAX} days, got {days}")
    secret = secrets.token_bytes(_SECRET_BYTES)
    created_ns = now_ns // _SECOND * _SECOND
    token = Token(
        id=secrets.token_hex(_ID_BYTES),
        name=name,
        secret_sha256=hashlib.sha256(secret).digest(),
        sources=tuple(sorted(set(sources))),
        reporters=tuple(dict.fromkeys(reporters)),
        created_ns=UnixNanos(created_ns),
        expires_ns=UnixNanos(created_ns + days * _DAY_SECONDS * _SECOND),
    )
    return token, f"mtt_{token.id}_{secret.hex()}"


def parse_token(text: str) -> tuple[str, bytes]:
    """Id and secret of a token.

    Raises:
        InputError: it is not written as one; the message repeats none of it.
    """
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise InputError("it is not written as a token: mtt_, 16 hex digits, _, 64 hex digits")
    return match[1], bytes.fromhex(match[2])


def parse_tokens(data: bytes) -> dict[str, Token]:
    """The tokens in the bytes of a file, by id.

    Raises:
        InputError: a line is none, or two have one id or one name; names the line.
    """
    tokens: dict[str, Token] = {}
    names: set[str] = set()
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line:
            continue
        try:
            token = _parse_line(line)
        except (InputError, ValueError) as error:
            raise InputError(f"line {number}: {error}", line=number) from error
        if token.id in tokens or token.name in names:
            raise InputError(f"line {number}: id or name of an earlier line", line=number)
        tokens[token.id] = token
        names.add(token.name)
    return tokens


def format_tokens(tokens: Iterable[Token]) -> bytes:
    """The bytes of a file with these tokens."""
    return b"".join(encode_json(token.as_json()) + b"\n" for token in tokens)


def format_time(time_ns: UnixNanos) -> str:
    """A time in whole seconds, as RFC 3339 in UTC."""
    moment = dt.datetime.fromtimestamp(time_ns // _SECOND, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse_line(line: bytes) -> Token:
    plain = msgspec.json.decode(line, type=_Line)
    token = Token(
        id=plain.id,
        name=plain.name,
        secret_sha256=bytes.fromhex(plain.sha256),
        sources=plain.sources,
        reporters=plain.reporters,
        created_ns=_parse_time(plain.created),
        expires_ns=_parse_time(plain.expires),
    )
    if json.loads(line) != token.as_json():
        raise InputError("want the hash in lower-case hex, and times as 2027-01-31T00:00:00Z")
    return token


def _parse_time(text: str) -> UnixNanos:
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise InputError("want times as 2027-01-31T00:00:00Z")
    return UnixNanos(int(moment.timestamp()) * _SECOND)
