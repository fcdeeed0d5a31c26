from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.demo.tour import LOOK_EVERY_S
from tests.unit.demo.fake_shell import FakeShell, make_tour

if TYPE_CHECKING:
    from meshtrail.demo.shell import Output


def test_claim_that_does_not_hold_is_counted_and_shown() -> None:
    tour, said = make_tour(FakeShell({}))
    tour.claim("one is one", want=1, got=1)
    tour.claim("one is two", want=2, got=1)
    assert (tour.claims_count, tour.failures_count) == (2, 1)
    assert "✓ one is one\n✗ one is two\n  expected  2\n  seen      1\n" in said.getvalue()


def test_command_is_shown_with_what_it_prints() -> None:
    tour, said = make_tour(FakeShell({"meshtrail status": "published  670 entries\n"}))
    assert tour.show("meshtrail status") == "published  670 entries\n"
    assert "  $ meshtrail status\n  published  670 entries\n" in said.getvalue()
    assert tour.failures_count == 0


def test_command_that_ends_otherwise_than_expected_fails_the_tour() -> None:
    shell = FakeShell({}, {"meshtrail verify": 3})
    tour, said = make_tour(shell)
    tour.show("meshtrail verify --data copy", exit_status=3)
    assert tour.failures_count == 0
    tour.show("meshtrail verify")
    assert tour.failures_count == 1
    assert "`meshtrail verify` ends with status 0" in said.getvalue()


def test_answer_that_is_no_json_fails_the_tour_and_is_shown() -> None:
    tour, said = make_tour(FakeShell({"--json": "Traceback"}))
    assert tour.ask("meshtrail status") == []
    assert tour.ask_one("meshtrail status") == {}
    assert tour.failures_count == 2
    assert "Traceback" in said.getvalue()


def test_search_shows_columns_and_reads_whole_events() -> None:
    shell = FakeShell({"--json": '{"log_index": 7}\n', "--columns": "INDEX\n7\n"})
    tour, _ = make_tour(shell)
    assert tour.find("decision:denied", columns="index") == [{"log_index": 7}]
    assert shell.shown == ["meshtrail search 'decision:denied' --columns index"]


def test_steps_are_numbered_as_they_come() -> None:
    tour, said = make_tour(FakeShell({}))
    tour.step("One?", "First.")
    tour.step("Two?", "Second.")
    assert said.getvalue() == "\n1. One?\nFirst.\n\n2. Two?\nSecond.\n"


def test_search_is_asked_beside_what_is_shown_and_recalled_later() -> None:
    class Counting(FakeShell):
        asked = 0

        def ask(self, command: str) -> Output:
            self.asked += 1
            return super().ask(command)

    shell = Counting({"meshtrail status --json": '{"a": 1}\n'})
    tour, _ = make_tour(shell)
    assert tour.show_and_ask("meshtrail status", options=" --wide") == [{"a": 1}]
    assert shell.shown == ["meshtrail status --wide"]
    assert tour.recall("meshtrail status") == [{"a": 1}]
    assert shell.asked == 1
    assert tour.recall("meshtrail other") == []
    assert shell.asked == 2


def test_waiting_looks_until_it_is_so_and_says_how_long() -> None:
    looks = iter([False, False, True])
    pauses: list[float] = []
    tour, said = make_tour(FakeShell({}))
    tour.wait_for("it rains", lambda: next(looks), seconds_max=60.0, pause=pauses.append)
    assert pauses == [LOOK_EVERY_S, LOOK_EVERY_S]
    assert said.getvalue() == "• waiting until it rains: 0 s\n"


def test_waiting_ends_when_it_does_not_come_to_that() -> None:
    tour, said = make_tour(FakeShell({}))
    tour.wait_for("it rains", lambda: False, seconds_max=-1.0)
    assert said.getvalue() == "• waited 0 s in vain\n"
    assert (tour.claims_count, tour.failures_count) == (0, 0)
