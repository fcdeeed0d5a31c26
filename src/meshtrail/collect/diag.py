"""Where diagnostics go; structlog's loggers fit. Configured in app, never here."""

from __future__ import annotations

from typing import Protocol


class Diag(Protocol):
    """Takes an event, a past-tense noun_verb, and its facts. ``error`` is an alarm."""

    def info(self, event: str, **facts: object) -> object:
        """Something happened as it should."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Something that somebody should look at."""
        ...

    def error(self, event: str, **facts: object) -> object:
        """An alarm: evidence is being lost, or will be."""
        ...
