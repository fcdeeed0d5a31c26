"""Diagnostics: structlog to standard error, JSON lines, or readable ones on a terminal.

An event is a past-tense noun_verb constant with its facts. Configured here and nowhere else.
Private keys never reach it: values that look like one are replaced, whatever handed them in.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import structlog

if TYPE_CHECKING:
    from collections import Counter

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

_PRIVATE: Final = "PRIVATE+KEY+"
_PEM_PRIVATE: Final = "PRIVATE KEY-----"
_REDACTED: Final = "(private key, redacted)"
_ALARMS: Final = {"error", "critical", "exception"}


def configure_diag(
    *, process: str, is_readable: bool | None = None, alarms: Counter[str] | None = None
) -> FilteringBoundLogger:
    """Set diagnostics up for this process.

    Args:
        process: which one, ``up``, ``collect``, ``seal`` or ``serve``; stands in each event.
        is_readable: for a person rather than a machine; by default when stderr is a terminal.
        alarms: counts the events of level error, by name.
    """

    def count_alarms(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        if alarms is not None and method in _ALARMS:
            alarms[str(event["event"])] += 1
        return event

    readable = sys.stderr.isatty() if is_readable is None else is_readable
    rendered: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=False)]
        if readable
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            count_alarms,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact_private_keys,
            *rendered,
        ],
        logger_factory=lambda *_: _StandardError(),
        cache_logger_on_first_use=True,
    )
    return cast("FilteringBoundLogger", structlog.get_logger(process=process))


class _StandardError:
    """Writes lines to standard error; that nobody takes them must not end the recording."""

    def _write(self, line: str) -> None:
        try:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            # Python would flush what is left in the buffer at the end, and exit with 120 for it.
            # A process that gave up its right to write files has to live with that.
            with suppress(OSError):
                sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open to the end

    debug = info = warning = error = critical = exception = _write


def redact_private_keys(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace every value that holds a private key, at any depth."""
    return {name: _redacted(value) for name, value in event.items()}


def _redacted(value: object) -> object:
    match value:
        case str():
            return _REDACTED if _PRIVATE in value or _PEM_PRIVATE in value else value
        case bytes():
            return _redacted(value.decode("utf-8", "backslashreplace"))
        case dict():
            return {name: _redacted(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_redacted(inner) for inner in value]
        case None | bool() | int() | float():
            return value
        case _:
            text = str(value)
            return _REDACTED if text != _redacted(text) else value
