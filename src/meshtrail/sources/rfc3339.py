"""Moments as RFC 3339 writes them, to nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from meshtrail.units import INT64_MAX

_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.([0-9]{1,9})[0-9]{0,9})?([Zz]|[+-][0-9]{2}:?[0-9]{2})"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NANOS: Final = 1_000_000_000


def parse_rfc3339(text: str) -> int | None:
    """Nanoseconds since 1970; None where the text is no moment from 1970 to 2262.

    A leap second is none, and what is finer than a nanosecond is cut off.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    date, time, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{zone.upper().replace('Z', '+00:00')}")
        since = moment - _EPOCH
    except (ValueError, OverflowError):
        return None
    seconds = since.days * 86_400 + since.seconds
    moment_ns = seconds * _NANOS + int((fraction or "").ljust(9, "0"))
    return moment_ns if 0 <= moment_ns <= INT64_MAX else None
