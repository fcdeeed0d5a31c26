"""Records of real proxies go missing in every way, and the ledger says how many and why."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo.waiting import wait_until
from tests.e2e.clean_traffic import running_upstreams
from tests.e2e.lossy_mesh import SEAL_S_MAX, Mesh
from tests.rig.recorder import running_recorder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.clean_traffic import CleanTraffic
    from tests.e2e.lossy_mesh import Proxy, Row
    from tests.rig.steady_load import SteadyLoad

pytestmark = pytest.mark.slow

CAUSES = {
    "small": "dropped",
    "unlogged": "not_written",
    "cut": "connection_reset",
    "down": "collector_down",
}
"""What happens to each proxy but the one that is killed and the one that is let alone."""
NAMES = [*CAUSES, "killed"]
FAST = 300.0
DROPPED_COUNT = 100
UNWRITTEN_COUNT = 40


@dataclass(frozen=True)
class Account:
    """What became of the records of one proxy.

    Attributes:
        missing: requests that were answered, and connections that were closed, without a record.
        gaps: that were told of it.
    """

    missing: int
    gaps: list[Row]

    @property
    def missing_min(self) -> int:
        """At least, as told."""
        return sum(gap["missing_min"] for gap in self.gaps)

    @property
    def missing_max(self) -> int | None:
        """At most, as told; None where nothing bounds it."""
        highs = [gap.get("missing_max") for gap in self.gaps]
        return None if None in highs else sum(high for high in highs if high is not None)

    @property
    def causes(self) -> set[str]:
        """All that were told."""
        return {gap["cause"] for gap in self.gaps}


@dataclass(frozen=True)
class Outcome:
    """All that is sealed in the end.

    Attributes:
        told_before: how many gaps of each cause the ledger had told when it was killed.
        unwritten_count: requests that the successor of the killed process wrote no record of.
    """

    accounts: dict[str, Account]
    findings: list[Row]
    completeness: dict[str, Any]
    told_before: dict[str, int]
    unwritten_count: int


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    directory = tmp_path_factory.mktemp("losses")
    with contextlib.ExitStack() as stack:
        upstreams = stack.enter_context(running_upstreams())
        mesh = Mesh(stack.enter_context(running_recorder(directory)), directory)
        clean = upstreams.make_proxy(mesh, "clean")
        stack.callback(clean.proxy.kill)
        proxies = {"clean": clean.proxy}
        for name in NAMES:
            proxies[name] = mesh.make_proxy(name, is_small=name == "small")
            stack.callback(proxies[name].kill)
        for proxy in proxies.values():
            proxy.envoy.wait_until_ready()
        yield run_everything(mesh, proxies, clean)


def run_everything(mesh: Mesh, proxies: dict[str, Proxy], clean: CleanTraffic) -> Outcome:
    everybody = list(proxies.values())
    with contextlib.ExitStack() as loads:
        for proxy in everybody:
            answers(loads.enter_context(proxy.load()), 20)
    mesh.wait_for_quiet_counts(everybody)
    lose_at_once(proxies, clean)
    mesh.wait_for_quiet_counts(everybody)
    # The process that was started again is accounted for as any other.
    killed = proxies["killed"]
    restarted_ns = killed.last_ns
    killed.stop_logging_requests()
    with killed.load() as unwritten:
        answers(unwritten, UNWRITTEN_COUNT)
    mesh.wait_for_quiet_counts(everybody)
    with proxies["down"].load() as load:
        answers(load, 30)
        with mesh.without_collector():
            answers(load, 400)
        answers(load, 300)
    last_ns = mesh.wait_for_quiet_counts(everybody)
    told_before = mesh.wait_until_some_are_told({"dropped", "not_written", "restart"})
    mesh.kill_process("ledger")
    mesh.wait_until_told(last_ns)
    # An orderly end seals all that was journaled.
    assert mesh.recorder.stop() == 0
    rows = mesh.recorder.search("")
    return Outcome(
        accounts={name: account(proxy, rows) for name, proxy in proxies.items()},
        findings=[row for row in rows if row["kind"] == "finding"],
        completeness=json.loads(mesh.recorder.run("completeness", "--json")),
        told_before=told_before,
        unwritten_count=unwritten.answered_count
        - sum(
            row["kind"] == "request" and row["end_time"] > restarted_ns
            for row in rows
            if row.get("reporter_id") == killed.name
        ),
    )


def lose_at_once(proxies: dict[str, Proxy], clean: CleanTraffic) -> None:
    """Everything that does not need the collector to die, under load."""
    small, cut, killed = proxies["small"], proxies["cut"], proxies["killed"]
    with (
        clean.one_that_lasts(),
        clean.proxy.load(),
        proxies["unlogged"].load() as unlogged,
        small.load(rate=FAST) as fast,
        cut.load() as through,
        killed.load() as before,
    ):
        for load in (unlogged, fast, through, before):
            answers(load, 50)
        small.forwarder.stall()
        cut.forwarder.cut()
        proxies["unlogged"].stop_logging_requests()
        clean.send_one_of_each()
        killed.kill()
        killed.start_again()
        answers(through, 150)
        answers(before, 100)
        answers(unlogged, 100)
        wait_until(
            lambda: small.envoy.records_dropped() > DROPPED_COUNT,
            "its buffer is full",
            seconds_max=SEAL_S_MAX,
        )
        small.forwarder.go_on()
        cut.forwarder.open_again()
        clean.send_one_of_each()
        for load in (unlogged, fast, through, before):
            answers(load, 200)


def answers(load: SteadyLoad, count: int) -> None:
    """Wait for so many more."""
    wanted = load.answered_count + count
    wait_until(
        lambda: load.answered_count >= wanted, f"{count} more answers", seconds_max=SEAL_S_MAX
    )


def account(proxy: Proxy, rows: list[Row]) -> Account:
    sealed = Counter(
        row["kind"] for row in rows if row.get("reporter_id") == proxy.name and has_ended(row)
    )
    records = sealed["request"] + sealed["connection"] + sealed["handshake"]
    return Account(
        missing=proxy.requests_count + proxy.connections_count - records,
        gaps=[row for row in rows if row["kind"] == "gap" and row.get("about") == proxy.name],
    )


def has_ended(row: Row) -> bool:
    """Whether it is the record of an end, not one on the way there."""
    return row.get("envoy_access_log_type") in {None, "NotSet", "DownstreamEnd"}


@pytest.mark.parametrize(("name", "cause"), CAUSES.items())
def test_a_loss_is_told_exactly_and_with_its_cause(outcome: Outcome, name: str, cause: str) -> None:
    found = outcome.accounts[name]
    assert found.missing > UNWRITTEN_COUNT
    assert (found.missing_min, found.missing_max) == (found.missing, found.missing)
    assert found.causes == {cause}


def test_what_a_killed_proxy_took_along_is_bounded_and_its_successor_is_held_to_account(
    outcome: Outcome,
) -> None:
    found = outcome.accounts["killed"]
    restarts = [gap for gap in found.gaps if gap["cause"] == "restart"]
    [unbounded] = [gap for gap in restarts if gap.get("missing_max") is None]
    assert unbounded["missing_min"] == 0
    assert sum(gap["missing_min"] for gap in restarts) <= found.missing - outcome.unwritten_count
    later = [gap for gap in found.gaps if gap["cause"] != "restart"]
    assert {gap["cause"] for gap in later} == {"not_written"}
    assert sum(gap["missing_min"] for gap in later) == outcome.unwritten_count >= UNWRITTEN_COUNT
    assert sum(gap["missing_max"] for gap in later) == outcome.unwritten_count


def test_clean_traffic_is_no_loss(outcome: Outcome) -> None:
    found = outcome.accounts["clean"]
    assert found.missing == 0
    assert found.gaps == []


def test_nothing_else_is_noticed(outcome: Outcome) -> None:
    assert outcome.findings == []


def test_a_ledger_that_is_killed_says_nothing_twice(outcome: Outcome) -> None:
    told = Counter(
        (gap["about"], gap["cause"], gap["time"], gap["end_time"], gap["missing_min"])
        for found in outcome.accounts.values()
        for gap in found.gaps
    )
    assert set(told.values()) == {1}
    assert 0 < sum(outcome.told_before.values()) < told.total()


def test_completeness_says_the_same(outcome: Outcome) -> None:
    said = {one["about"]: one for one in outcome.completeness["reporters"]}
    assert said.keys() >= set(NAMES)
    # A reporter of which there is nothing to tell is named once its first minute is over.
    said_of_clean = said.pop("clean", None)
    assert said_of_clean is None or not (said_of_clean["missing"] or said_of_clean["noticed"])
    for name, one in said.items():
        found = outcome.accounts[name]
        assert (one["missing_min"], one["missing_max"]) == (found.missing_min, found.missing_max)
        assert {missing["cause"] for missing in one["missing"]} == found.causes
        assert one["noticed"] == []
