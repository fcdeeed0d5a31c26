from __future__ import annotations

from tests.unit.demo.fake_shell import FakeShell, make_tour


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
