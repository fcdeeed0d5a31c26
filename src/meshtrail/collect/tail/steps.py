"""What a look at files, or reading one, leaves to be done."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from meshtrail.collect.tail.parts import Part
    from meshtrail.collect.tail.tailed_file import TailedFile
    from meshtrail.journal.file_positions import Told


class Step(NamedTuple):
    """What has to be journaled together.

    Attributes:
        file: on whose stream; None where there is none.
        parts: in this order.
        told: positions that hold behind them.
    """

    file: TailedFile | None
    parts: list[Part]
    told: list[Told]


class Problem(NamedTuple):
    """Why a file is not read now; an alarm when it is new.

    Attributes:
        event: names the alarm.
        path: of the file.
        reason: for people.
    """

    event: str
    path: str
    reason: str
