"""Which files are read, and what is said of them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - config reads the annotations when it converts

from meshtrail.errors import ConfigError
from meshtrail.model.record_formats import LINE_FORMATS


@dataclass(frozen=True, slots=True, kw_only=True)
class TailOptions:
    """Files of one format.

    Attributes:
        path: of a file, or a pattern with ``*``, ``?`` and ``[…]`` within its parts.
        format: one of ``LINE_FORMATS``.
        reporter: who wrote them, as the streams claim it.
        cluster: where, likewise.
    """

    path: Path
    format: str
    reporter: str | None = None
    cluster: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could not work."""
        if self.format not in LINE_FORMATS:
            near = difflib.get_close_matches(self.format, LINE_FORMATS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(LINE_FORMATS)}"
            raise ConfigError(
                f"collect.tail: there is no format {self.format!r} of lines: {hint}",
                key="collect.tail.format",
            )
        if not self.path.is_absolute() or not {"..", "**"}.isdisjoint(self.path.parts):
            raise ConfigError(
                f"collect.tail: the path {str(self.path)!r} must be absolute, without .. and **",
                key="collect.tail.path",
            )
