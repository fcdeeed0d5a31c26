"""An attack: what is done to a log, by whom, and what the auditor has to say of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.tamper.scene import Scene


class Power(StrEnum):
    """What the attacker holds."""

    FILES = "the files"
    KEY = "the files and the log's key"
    CRASH = "nobody: a crash, or a sealer at work"


class Outcome(StrEnum):
    """What the auditor makes of it."""

    TAMPERED = "tampered"
    EXPLAINED = "explained"
    REFUSED = "refused"
    UNNOTICED = "unnoticed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """One way to spoil a log.

    Attributes:
        group: heading in the document.
        what: one line for the document.
        check: the error, or what the auditor calls what it explains; empty when unnoticed.
        subject: the object that the auditor names.
        also: further findings, (check, subject), that have to be there.
    """

    group: str
    what: str
    power: Power
    outcome: Outcome
    check: str
    subject: str
    also: tuple[tuple[str, str], ...]
    with_lock_record: bool
    is_deep: bool
    run: Callable[[Scene], None]

    @property
    def name(self) -> str:
        """The function that does it."""
        return self.run.__name__


class Catalogue:
    """The attacks, in the order in which they are written down."""

    def __init__(self) -> None:
        self.attacks: list[Attack] = []
        self._group = ""

    def group(self, name: str) -> None:
        """Attacks from here on belong to this group."""
        self._group = name

    def tampered(
        self,
        check: str,
        subject: str,
        *,
        power: Power = Power.FILES,
        also: tuple[tuple[str, str], ...] = (),
        with_lock_record: bool = False,
        is_deep: bool = False,
    ) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
        """An attack that has to end in this error, of this object."""
        return self._add(
            Outcome.TAMPERED,
            check,
            subject,
            power=power,
            also=also,
            with_lock_record=with_lock_record,
            is_deep=is_deep,
        )

    def refused(self, check: str) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
        """An attack after which there is nothing to audit."""
        return self._add(Outcome.REFUSED, check, "", power=Power.FILES)

    def explained(
        self, check: str, subject: str
    ) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
        """Something that is no attack and must not be taken for one."""
        return self._add(Outcome.EXPLAINED, check, subject, power=Power.CRASH)

    def unnoticed(
        self, *, power: Power
    ) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
        """An attack outside the promise: said plainly, and held to be so."""
        return self._add(Outcome.UNNOTICED, "", "", power=power)

    def _add(
        self,
        outcome: Outcome,
        check: str,
        subject: str,
        *,
        power: Power,
        also: tuple[tuple[str, str], ...] = (),
        with_lock_record: bool = False,
        is_deep: bool = False,
    ) -> Callable[[Callable[[Scene], None]], Callable[[Scene], None]]:
        def add(run: Callable[[Scene], None]) -> Callable[[Scene], None]:
            what = (run.__doc__ or "").partition("\n")[0].rstrip(".")
            attack = Attack(
                group=self._group,
                what=what,
                power=power,
                outcome=outcome,
                check=check,
                subject=subject,
                also=also,
                with_lock_record=with_lock_record,
                is_deep=is_deep,
                run=run,
            )
            self.attacks.append(attack)
            return run

        return add


CATALOGUE = Catalogue()
"""Where the modules of attacks write theirs down."""

FIRST: Final = "segments/000000000000-000000000011.parquet"
SECOND: Final = "segments/000000000011-000000000013.parquet"
FIRST_TILES: Final = "tiles/000000000000-000000000011.tiles"
SECOND_TILES: Final = "tiles/000000000011-000000000013.tiles"
