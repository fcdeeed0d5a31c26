from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.clock_account import TOLD_AGAIN_NS
from meshtrail.correlate.clock_offsets import COLLECTOR
from meshtrail.correlate.ledger import Ledger
from meshtrail.correlate.reporters import OVERFLOW
from meshtrail.model.entry import EntryType
from meshtrail.sources.reporter_clocks import parse_clock
from tests.unit.correlate.clock_mesh import pairs
from tests.unit.correlate.ledger_events import BEGIN, S, at, count, own, record, table

if TYPE_CHECKING:
    from tests.unit.correlate.ledger_events import Row

MS = 1_000_000


def clocks(*rows: Row, until_s: float = 60, ledger: Ledger | None = None) -> list[dict[str, Any]]:
    ledger = ledger or Ledger(recording_since_ns=BEGIN)
    steps = [*ledger.take(table(*rows)), *ledger.pass_time(at(until_s))]
    said = [one for step in steps for one in step.statements]
    return [one.payload for one in said if one.entry_type is EntryType.CLOCK]


def ahead(row: Row, seconds: float) -> Row:
    """What a proxy says whose clock is so far ahead."""
    return row | {
        name: row[name] + round(seconds * S) for name in ("time", "end_time") if row.get(name)
    }


def counts(*, ahead_s: float, from_s: int = 1, until_s: int = 60, **more: Any) -> list[Row]:
    return [ahead(count(one, 0, **more), ahead_s) for one in range(from_s, until_s, 5)]


def test_a_clock_is_told_when_it_is_known() -> None:
    (told,) = clocks(*counts(ahead_s=7))
    assert (told["about"], told["quality"], told["until_ns"]) == ("web", "estimated", at(20))
    assert told["reporter"] == {"id": "web", "spiffe_id": None, "token": None}
    assert abs(told["offset_ns"] - 7 * S) <= told["error_ns"] < 200 * MS
    assert "cause" not in told


def test_what_is_told_is_what_events_are_derived_from() -> None:
    (told,) = clocks(*counts(ahead_s=7))
    parsed = parse_clock(json.dumps(told | {"step_ns": at(20)}).encode(), received_ns=at(21))
    assert parsed is not None
    key, stated = parsed
    assert key == ("web", None, None)
    assert (stated.offset_ns, stated.error_ns) == (told["offset_ns"], told["error_ns"])


def test_a_clock_that_goes_as_it_went_is_told_every_five_minutes() -> None:
    told = clocks(*counts(ahead_s=7, until_s=700), until_s=700)
    assert [one["until_ns"] for one in told] == [at(20), at(320), at(620)]
    assert told[1]["until_ns"] - told[0]["until_ns"] == TOLD_AGAIN_NS


def test_a_clock_that_was_set_is_told_as_unknown_and_then_anew() -> None:
    rows = [*counts(ahead_s=7), *counts(ahead_s=-90, from_s=61, until_s=120)]
    before, unknown, after = clocks(*rows, until_s=120)
    assert before["quality"] == after["quality"] == "estimated"
    assert (unknown["quality"], unknown["offset_ns"], unknown["error_ns"]) == (
        "unknown",
        None,
        None,
    )
    assert unknown["cause"] == "clock_stepped"
    assert abs(after["offset_ns"] + 90 * S) <= after["error_ns"]


def test_records_tell_of_a_clock_as_well() -> None:
    lag = [0.9, 0.2, 0.5, 0.7, 0.1, 0.8, 0.4, 0.6, 0.3]
    rows = [ahead(record(2 + one, lag_s=lag[one]), -600) for one in range(9)]
    (told,) = clocks(*rows)
    assert abs(told["offset_ns"] + 600 * S) <= told["error_ns"] <= 501 * MS
    assert clocks(*(row | {"is_duplicate": True} for row in rows)) == []
    assert clocks(*(row | {"source": "elsewhere"} for row in rows)) == []
    assert clocks(*(row | {"time": None} for row in rows)) == []


def test_otlp_is_assumed_to_be_delayed_for_longer() -> None:
    rows = [record(2 + one, source="otlp", kind="span") for one in range(9)]
    (told,) = clocks(*rows)
    assert told["error_ns"] == pytest.approx(5 * S, rel=0.01)


def test_a_name_under_two_identities_has_two_clocks() -> None:
    liar = [one | {"reporter_token": "t"} for one in counts(ahead_s=60)]
    first, second = clocks(*counts(ahead_s=7), *liar)
    assert [first["reporter"]["token"], second["reporter"]["token"]] == [None, "t"]
    assert abs(second["offset_ns"] - first["offset_ns"] - 53 * S) < 10 * MS


def test_the_others_together_have_no_clock() -> None:
    assert clocks(*counts(ahead_s=7, who=OVERFLOW)) == []


def test_a_step_of_the_collector_is_waited_for() -> None:
    step = own("clock", 62) | {
        "detail": json.dumps({"step_ns": -8 * S, "wall_ns": 1, "collector_ns": 2})
    }
    rows = [*counts(ahead_s=7), step, *counts(ahead_s=8, from_s=63, until_s=85)]
    before, unknown = clocks(*rows, until_s=88)
    assert before["quality"] == "estimated"
    assert (unknown["quality"], unknown["cause"]) == ("unknown", "clock_stepped")
    # By then it runs true again.
    later = counts(ahead_s=15, from_s=87, until_s=120)
    told = clocks(*rows, *later, until_s=120)[2:]
    assert [one["quality"] for one in told] == ["estimated"]
    assert abs(told[0]["offset_ns"] - 15 * S) <= told[0]["error_ns"]


@pytest.mark.parametrize("detail", [None, "[]", '{"step_ns":"x"}', '{"step_ns":true}'])
def test_a_step_that_says_nothing_of_its_length_is_one(detail: str | None) -> None:
    rows = [*counts(ahead_s=7), own("clock", 61) | {"detail": detail}]
    assert [one["quality"] for one in clocks(*rows, until_s=80)] == ["estimated", "unknown"]


def test_pairs_are_taken_by_the_numbers_of_their_reporters() -> None:
    ledger = Ledger(recording_since_ns=BEGIN)
    list(ledger.take(table(ahead(record(2), 7))))
    begin, end = at(3) + 7 * S - MS, at(3) + 7 * S + MS
    ledger.clocks.take_pairs(pairs((0, COLLECTOR, begin, end, at(3), at(3), at(3))))
    (told,) = clocks(record(9, who="other"), ledger=ledger)
    assert (told["about"], told["quality"]) == ("web", "bounded")
    assert abs(told["offset_ns"] - 7 * S) <= told["error_ns"] < 4 * MS


def test_statements_are_the_same_however_the_log_is_cut() -> None:
    rows = [
        *counts(ahead_s=7, until_s=400),
        *counts(ahead_s=-3, until_s=400, who="db"),
        *(ahead(record(one, lag_s=0.1 + one % 7 / 10), 7) for one in range(2, 390, 3)),
    ]
    whole = table(*rows)
    wanted = clocks(*rows, until_s=400)
    for length in (1, 7, 60):
        ledger = Ledger(recording_since_ns=BEGIN)
        steps = [
            step
            for start in range(0, whole.num_rows, length)
            for step in ledger.take(whole.slice(start, length))
        ]
        steps += ledger.pass_time(at(400))
        said = [one for step in steps for one in step.statements]
        assert [one.payload for one in said if one.entry_type is EntryType.CLOCK] == wanted
    assert len(wanted) > 3
