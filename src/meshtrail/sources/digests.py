"""Digests, commits and addresses as texts: one spelling for each, or none."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

_DIGEST: Final = re.compile(r"(?:.*[@/]|)(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})", re.DOTALL)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def find_digest(reference: str | None) -> str | None:
    """The digest at the end of an image reference or image id: ``sha256:`` and 64 digits."""
    match = _DIGEST.fullmatch(reference) if reference is not None else None
    return match[1] if match is not None else None


def read_commit(text: str | None) -> str | None:
    """A whole commit id in lower case; None for anything else, all zeros (no commit) as well."""
    lower = text.lower() if text is not None else ""
    return lower if _COMMIT.fullmatch(lower) and lower.strip("0") else None


def read_address(text: str) -> str | None:
    """An address as it is written in one way, IPv4 within IPv6 as IPv4; None for no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return str(address.ipv4_mapped or address)
    return str(address)
