"""What a proxy says, in ``x-forwarded-client-cert``, of the certificate that its client showed.

Elements are separated by commas, the pairs ``key=value`` of an element by semicolons, and a value
may stand in double quotes. Each hop that appends adds the last element, so the last is the nearest
proxy's own word; the elements before it are what that proxy was told.

Source: Envoy, "HTTP header manipulation", x-forwarded-client-cert.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from meshtrail.collect.peer import choose_spiffe_id
from meshtrail.errors import UnauthenticatedError

HEADER: Final = "x-forwarded-client-cert"

_HEADER_CHARS_MAX: Final = 1 << 18
"""Envoy forwards whole chains of certificates when it is told to."""

# A backslash takes the next character with it, whatever that is: a subject that ends in an escaped
# backslash must not run on into the pairs behind it.
_PAIR: Final = re.compile(
    r'([A-Za-z][A-Za-z0-9_-]*)=(?:"((?:[^"\\]|\\.)*)"|([^",;]*))', re.ASCII | re.DOTALL
)
_ESCAPED: Final = re.compile(r'\\(["\\])')
_SHA256: Final = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)

Element = tuple[tuple[str, str], ...]
"""The pairs of an element in their order, keys in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardedCertificate:
    """The certificate of the client of the nearest proxy.

    Attributes:
        spiffe_id: its one URI SAN, when that is a SPIFFE ID.
        sha256: of the certificate, DER; None when the proxy does not say.
        detail: why there is no SPIFFE ID.
    """

    spiffe_id: str | None
    sha256: bytes | None
    detail: str | None


def parse_elements(text: str) -> list[Element]:
    """The elements of a header, in their order: the first hop's first.

    Raises:
        UnauthenticatedError: it is not written as Envoy writes it.
    """
    if len(text) > _HEADER_CHARS_MAX:
        raise _refusal(f"{len(text)} characters, at most {_HEADER_CHARS_MAX} are read")
    elements: list[Element] = []
    pairs: list[tuple[str, str]] = []
    place = 0
    while True:
        place = _skip_blanks(text, place)
        match = _PAIR.match(text, place)
        if match is None:
            raise _refusal(f"no key=value at character {place}")
        key, quoted, plain = match.groups()
        value = plain.rstrip(" \t") if quoted is None else _ESCAPED.sub(r"\1", quoted)
        pairs.append((key.lower(), value))
        place = _skip_blanks(text, match.end())
        separator = text[place : place + 1]
        if separator not in {"", ",", ";"}:
            raise _refusal(f"neither comma nor semicolon at character {place}")
        if separator != ";":
            elements.append(tuple(pairs))
            pairs = []
        if not separator:
            return elements
        place += 1


def read_nearest(text: str) -> ForwardedCertificate:
    """What the nearest proxy says of its client: the last element.

    Raises:
        UnauthenticatedError: the header is malformed, or names no certificate.
    """
    element = parse_elements(text)[-1]
    hashes = [value for key, value in element if key == "hash"]
    # Envoy writes `URI=` for a certificate without one.
    uris = [value for key, value in element if key == "uri" and value]
    if len(hashes) > 1:
        raise _refusal(f"the last element has {len(hashes)} hashes")
    if hashes and not _SHA256.fullmatch(hashes[0]):
        raise _refusal("the hash of the last element is not 64 hex digits")
    spiffe_id, detail = choose_spiffe_id(uris, what="the forwarded certificate")
    if not hashes and spiffe_id is None:
        raise _refusal(f"the last element has no hash, and {detail}")
    return ForwardedCertificate(
        spiffe_id=spiffe_id, sha256=bytes.fromhex(hashes[0]) if hashes else None, detail=detail
    )


def _skip_blanks(text: str, place: int) -> int:
    while text[place : place + 1] in {" ", "\t"}:
        place += 1
    return place


def _refusal(what: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"{HEADER}: {what}")
