"""What reading a file yields, before it is put into frames."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class TailCause(StrEnum):
    """Why lines of a file are missing: a closed list."""

    TRUNCATED = "truncated"
    """The file was cut, or written anew: what was not read before is gone."""
    VANISHED = "vanished"
    """The file is gone, and was not read to its end, or nobody can tell."""
    LINE_TOO_LONG = "line_too_long"
    """A line was longer than is taken: its beginning is sealed, the rest is left out."""


class Opened(NamedTuple):
    """Reading begins.

    Attributes:
        detail: where, and what is odd about it.
    """

    detail: str


class Lines(NamedTuple):
    """Complete lines, as they stand in the file; the last without its line feed only at the end."""

    data: bytes
    records_count: int


class Beginning(NamedTuple):
    """The beginning of a line that is longer than is taken."""

    data: bytes


class Gap(NamedTuple):
    """Bytes of a file that are lost.

    Attributes:
        path: of the file.
        since_ns: after that moment; None for the last look.
        bytes_min: at least.
        bytes_max: at most; None where nothing bounds it.
        records_max: records that are missing at most; None likewise.
        detail: what is known, for people.
    """

    cause: TailCause
    path: str
    since_ns: int | None
    bytes_min: int
    bytes_max: int | None
    records_max: int | None
    detail: str


class Ended(NamedTuple):
    """The file was read to its end, and nobody writes to it any more."""

    detail: str


Part = Opened | Lines | Beginning | Gap | Ended
