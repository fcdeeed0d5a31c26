"""Real Envoys whose clocks are wrong: what events say of them holds, and calls are paired."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.ledger import Ledger
from meshtrail.model.entry import EntryType
from tests.e2e.wrong_clock_mesh import node_id, running_sidecars
from tests.rig.load import Request, send_requests
from tests.rig.recorded_log import read_log
from tests.rig.recorder import running_recorder, wait_until
from tests.rig.wrong_clock import COMPILER, SECOND, build_wrong_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from tests.e2e.wrong_clock_mesh import Sidecar
    from tests.rig.recorder import Recorder

Row = dict[str, Any]

MS = SECOND // 1_000
MINUTE = 60 * SECOND
PAIRS = {
    ("web", "cart"): (5 * MS, -10 * MINUTE),
    ("orders", "stock"): (10 * MINUTE, -5 * MS),
    ("mail", "users"): (-2 * SECOND, 2 * SECOND),
}
SLACK_NS = 2 * MS
"""The collector tells the time by a clock of its own, set by the machine's as it starts."""
ERROR_NS_MAX = 300 * MS
KNOWN_S_MAX = 90.0
SEALED_S_MAX = 30.0
DECIDED_NS = 5 * MINUTE
ROUND_COUNT = 5
CALLED_AFTER_COUNT = 20


@dataclass(frozen=True)
class Story:
    """What was recorded of the sidecars until their clocks were known.

    Attributes:
        ahead_ns: how far each node's clock was ahead.
        requests_count: through each pair.
        rows: all events, as a search prints them.
        log: all events, as the ledger reads them.
    """

    recorder: Recorder
    sidecars: dict[str, Sidecar]
    ahead_ns: dict[str, int]
    requests_count: int
    rows: list[Row]
    log: pa.Table


def call(sidecars: dict[str, Sidecar], count: int) -> int:
    """Send requests through all callers at once."""

    async def send() -> None:
        requests = [Request("GET", f"/{at}") for at in range(count)]
        ports = [sidecars[caller].ports["outbound"] for caller, _ in PAIRS]
        await asyncio.gather(*(send_requests(requests, port=port) for port in ports))

    asyncio.run(send())
    return count


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    if COMPILER is None:
        pytest.skip("there is no C compiler here, to make a clock that is wrong")
    directory = tmp_path_factory.mktemp("clocks")
    library = build_wrong_clock(directory)
    with (
        running_recorder(directory) as recorder,
        running_sidecars(
            PAIRS, directory=directory, library=library, collector_port=recorder.port
        ) as sidecars,
    ):
        ahead_ns = {node_id(name): one.clock.ahead_ns for name, one in sidecars.items()}
        sent = []

        def are_known() -> bool:
            sent.append(call(sidecars, ROUND_COUNT))
            found = recorder.search("kind:request time_quality:estimated")
            return {row["reporter_id"] for row in found} == set(ahead_ns)

        wait_until(are_known, "all clocks are known", seconds_max=KNOWN_S_MAX)
        sent.append(call(sidecars, CALLED_AFTER_COUNT))
        ends_count = 2 * len(PAIRS) * sum(sent)
        wait_until(
            lambda: len(recorder.search("kind:request")) == ends_count,
            "both ends of all requests are sealed",
            seconds_max=SEALED_S_MAX,
        )
        rows, log = recorder.search(""), read_log(recorder)
        yield Story(recorder, sidecars, ahead_ns, sum(sent), rows, log)


def read_clocks(recorder: Recorder, node: str) -> list[Row]:
    """What the log says of a node's clock, in its order."""
    rows = recorder.search("kind:clock source:meshtrail")
    rows.sort(key=lambda row: int(row["log_index"]))
    return [json.loads(row["detail"]) for row in rows if row.get("about") == node]


def test_what_events_say_of_their_clock_is_how_far_it_was_off(story: Story) -> None:
    said: defaultdict[str, list[Row]] = defaultdict(list)
    for row in story.rows:
        if row.get("time_quality") == "estimated":
            said[row["reporter_id"]].append(row)
    assert set(said) == set(story.ahead_ns)
    for node, rows in said.items():
        for row in rows:
            off_ns = abs(row["time_offset"] - story.ahead_ns[node])
            assert off_ns <= row["time_error"] + SLACK_NS, row
            assert row["time_error"] <= ERROR_NS_MAX, row


def test_both_ends_are_paired_however_far_their_clocks_are_apart(story: Story) -> None:
    received = story.log.column("received_time")
    ledger = Ledger(recording_since_ns=received[0].as_py())
    steps = [*ledger.take(story.log), *ledger.pass_time(received[-1].as_py() + DECIDED_NS)]
    said = [one for step in steps for one in step.statements]
    paired: Counter[str] = Counter()
    for one in said:
        if one.payload.get("name") == "ledger_minute":
            paired[one.payload["about"]] += one.payload["paired"]
    assert paired == dict.fromkeys(story.ahead_ns, story.requests_count)
    told = {one.payload["cause"] for one in said if one.entry_type is EntryType.FINDING}
    # After the end of the log nothing comes any more.
    assert told <= {"silent"}
    assert not [one for one in said if one.entry_type is EntryType.GAP]


@pytest.mark.slow  # 40 s: evidence from before contradicts what comes, and is gathered anew
def test_a_clock_that_is_set_is_told_as_unknown_and_then_anew(story: Story) -> None:
    clock, node = story.sidecars["stock"].clock, node_id("stock")
    clock.set(-30 * SECOND)

    told: list[Row] = []

    def is_known_anew() -> bool:
        call(story.sidecars, ROUND_COUNT)
        told[:] = read_clocks(story.recorder, node)
        return [one["quality"] for one in told[-2:]] == ["unknown", "estimated"]

    wait_until(is_known_anew, "the clock is known anew", seconds_max=KNOWN_S_MAX)
    unknown, last = told[-2:]
    assert unknown["cause"] == "clock_stepped"
    assert abs(last["offset_ns"] - clock.ahead_ns) <= last["error_ns"] + SLACK_NS
