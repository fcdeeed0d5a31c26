"""What is shown as 0 is all that there is, and nothing that there is not."""

from __future__ import annotations

import ast
import re
import signal
from pathlib import Path

import meshtrail
from meshtrail import errors
from meshtrail.api.known_labels import (
    ALARMS,
    DEATH_CAUSES,
    FINDING_CAUSES,
    GAP_CAUSES,
    count_from_zero,
)
from meshtrail.collect import sender_refusals
from meshtrail.collect.exports import TURNED_AWAY_EVENT
from meshtrail.collect.tail import file_watch, tail
from meshtrail.correlate.statements import Cause
from meshtrail.journal.group_commit import DISK_FULL, JOURNAL_FULL

SOURCE = Path(meshtrail.__file__).parent
DOCUMENT = SOURCE.parents[1] / "docs" / "completeness.md"
CAUSE = re.compile(r"^\| `(\w+)`(?: \(`?([\w:]+)`?\))? \|", re.MULTILINE)
LAST_WORD = "process_failed"
CALLED_BY_NAME = {
    *(sender_refusals.EVENT, TURNED_AWAY_EVENT, JOURNAL_FULL, DISK_FULL),
    *(tail.FAILED_EVENT, tail.LOST_EVENT),
    *(file_watch.REFUSED_EVENT, file_watch.MISSING_EVENT, file_watch.OVERFLOW_EVENT),
}


def alarms_in_source() -> set[str]:
    """The names that are said in so many words where an alarm is raised."""
    calls = [
        node
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in {"error", "exception", "critical"}
        and ast.unparse(call.func.value).endswith("diag")
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def test_every_cause_is_one_of_a_gap_or_of_a_finding_as_documented() -> None:
    documented: dict[str, set[str]] = {}
    _, table = DOCUMENT.read_text(encoding="utf-8").split("| cause | means |\n")
    for cause, kind in CAUSE.findall(table.partition("\n\n")[0]):
        documented.setdefault(kind, set()).add(cause)
    # A clock that was set is told beside what is known of the clock, and counted nowhere.
    assert documented == {
        "": set(GAP_CAUSES),
        "finding": set(FINDING_CAUSES),
        "kind:clock": {Cause.CLOCK_STEPPED},
    }
    assert set(GAP_CAUSES) | set(FINDING_CAUSES) | {Cause.CLOCK_STEPPED} == set(Cause)


def test_every_alarm_that_is_raised_anywhere_is_known() -> None:
    known = {alarm for alarms in ALARMS.values() for alarm in alarms}
    assert known == alarms_in_source() - {LAST_WORD} | CALLED_BY_NAME


def test_deaths_are_of_errors_and_signals_that_there_are() -> None:
    for cause in DEATH_CAUSES:
        assert cause in signal.Signals.__members__ or hasattr(errors, cause) or cause == "exit 1", (
            cause
        )


def test_what_was_counted_stands_among_what_was_not() -> None:
    found = count_from_zero({"b": 2, "new": 1}, ("c", "b"))
    assert list(found.items()) == [("b", 2), ("c", 0), ("new", 1)]
