"""Moments and durations as people write them: RFC 3339, unix nanoseconds, ``-15m``; ``250ms``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from meshtrail.errors import QueryError
from meshtrail.units import INT64_MAX, UnixNanos

NANOS: Final = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
FORMS: Final = (
    "2026-11-21T08:00:00Z, 2026-11-21, unix nanoseconds, now, or back from now: -15m -2h -7d"
)

_RFC3339 = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2}))?"
)
_DURATION = re.compile(r"([0-9]{1,19})(ns|us|ms|s|m|h|d|w)")
_INTEGER = re.compile(r"[0-9]{1,19}")
# Ten digits count seconds until the year 2286; read as nanoseconds they would be 1970, silently.
_NANOSECONDS_MIN: Final = 10**15
_SPAN_BY_CHARACTERS: Final = {0: "d", len("08:00"): "m", len("08:00:00"): "s"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(text: str, *, now_ns: UnixNanos) -> UnixNanos:
    """Read a moment.

    Args:
        text: see ``FORMS``; a date alone is its midnight in UTC.
        now_ns: what relative forms count back from.

    Raises:
        QueryError: none of the forms, or outside 1970 to 2262.
    """
    if text == "now":
        return now_ns
    if text.startswith("-") and not text[-1].isdigit():
        return _in_range(now_ns - parse_duration(text[1:]), text)
    if _INTEGER.fullmatch(text):
        if int(text) < _NANOSECONDS_MIN:
            raise QueryError(f"{text} is no moment: a plain number is unix nanoseconds")
        return _in_range(int(text), text)
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise QueryError(f"{text!r} is no moment; write it as one of: {FORMS}")
    zone = match["zone"] or "Z"
    spelled = f"{match['date']}T{match['time'] or '00:00'}{zone.upper().replace('Z', '+00:00')}"
    try:
        moment = datetime.fromisoformat(spelled)
    except ValueError as error:
        raise QueryError(f"{text!r} is no moment: {error}") from error
    since = moment - _EPOCH
    seconds = since.days * 86_400 + since.seconds
    return _in_range(seconds * NANOS["s"] + int((match["fraction"] or "").ljust(9, "0")), text)


def parse_span(text: str, *, now_ns: UnixNanos) -> tuple[UnixNanos, UnixNanos]:
    """The half-open span of time that a moment names: a date its day, ``08:00Z`` its minute.

    Args:
        text: as for ``parse_moment``.
        now_ns: what relative forms count back from.

    Raises:
        QueryError: as for ``parse_moment``.
    """
    start = parse_moment(text, now_ns=now_ns)
    match = _RFC3339.fullmatch(text)
    if match is None:
        length = 1
    elif match["fraction"]:
        length = 10 ** (9 - len(match["fraction"]))
    else:
        length = NANOS[_SPAN_BY_CHARACTERS[len(match["time"] or "")]]
    return start, _in_range(start + length, text)


def parse_duration(text: str) -> int:
    """Read a duration, ``250ms`` or plain nanoseconds, as nanoseconds.

    Raises:
        QueryError: something else.
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    match = _DURATION.fullmatch(text)
    if match is None:
        raise QueryError(f"{text!r} is no duration; write it like 250ms, 15m, 2h or 7d")
    return int(match[1]) * NANOS[match[2]]


def format_moment(moment_ns: int) -> str:
    """RFC 3339 in UTC, to the nanosecond; what ``parse_moment`` reads back."""
    seconds, nanos = divmod(moment_ns, NANOS["s"])
    day, second = divmod(seconds, 86_400)
    date = datetime.fromordinal(_EPOCH.toordinal() + day).strftime("%Y-%m-%d")
    hour, rest = divmod(second, 3_600)
    return f"{date}T{hour:02}:{rest // 60:02}:{rest % 60:02}.{nanos:09}Z"


def _in_range(moment_ns: int, text: str) -> UnixNanos:
    if not 0 <= moment_ns <= INT64_MAX:
        raise QueryError(f"{text!r} lies outside the years 1970 to 2262")
    return UnixNanos(moment_ns)
