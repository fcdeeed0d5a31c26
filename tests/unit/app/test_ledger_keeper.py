from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.dataset as ds
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2

from meshtrail.app.inventory_file import InventoryFile
from meshtrail.app.ledger_keeper import WRITER, LedgerKeeper
from meshtrail.correlate.ledger import Ledger, Step
from meshtrail.correlate.proxy_account import Logged, ProxyAccount
from meshtrail.correlate.reporters import Reporter
from meshtrail.correlate.shared_keys import SharedKeys
from meshtrail.correlate.statements import Cause, finding_about
from meshtrail.model.entry import EntryType
from meshtrail.verify import KeySource, TrustedKey, audit
from tests.log_rig import MILLISECOND, MINUTE, ORIGIN, SIGNER, LogRig, SilentDiag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from meshtrail.correlate.pairing import Place
    from meshtrail.correlate.statements import Statement

SECOND = 1_000 * MILLISECOND


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    rig = LogRig(tmp_path)
    yield rig
    rig.close()


def keeper(rig: LogRig, inventory: InventoryFile | None = None) -> LedgerKeeper:
    return LedgerKeeper(
        rig.layout,
        SIGNER.verifier,
        origin=ORIGIN,
        journal=rig.open_writer(WRITER),
        clock=rig.clock,
        version="1.2",
        inventory=inventory,
    )


def told(rig: LogRig) -> list[dict[str, Any]]:
    """What the sealed log holds of the ledger's statements."""
    table = ds.dataset(sorted(map(str, rig.layout.segments.glob("*.parquet")))).to_table(
        columns=["log_index", "received_time", "kind", "about", "detail", "missing_min"]
    )
    return [
        row
        for row in table.sort_by("log_index").to_pylist()
        if row["detail"] and "step_ns" in row["detail"]
    ]


def record(rig: LogRig, stream: int, *, count: int) -> None:
    rig.append(rig.load.http(stream, count))
    rig.seal()


def test_what_there_is_to_say_is_sealed_and_found(rig: LogRig) -> None:
    keeping = keeper(rig)
    assert keeping.look() == 0
    stream = rig.open_stream(node_id="web-1")
    record(rig, stream, count=3)
    assert keeping.look() == 0
    rig.clock.advance(3 * MINUTE)
    assert keeping.look() == 1
    rig.seal()
    (row,) = told(rig)
    assert (row["kind"], row["about"], row["missing_min"]) == ("counter", "web-1", 0)
    assert json.loads(row["detail"])["received"] == 3


def test_time_does_not_pass_while_anything_waits_to_be_sealed(rig: LogRig) -> None:
    keeping = keeper(rig)
    stream = rig.open_stream(node_id="web-1")
    record(rig, stream, count=3)
    rig.append(rig.load.http(stream, 2))
    rig.clock.advance(3 * MINUTE)
    assert keeping.look() == 0
    rig.seal()
    # What waited was received before: it belongs to the same minute.
    assert keeping.look() == 1
    rig.seal()
    assert json.loads(told(rig)[0]["detail"])["received"] == 5


def test_a_new_start_says_nothing_twice_and_goes_on(rig: LogRig) -> None:
    keeping = keeper(rig)
    stream = rig.open_stream(node_id="web-1")
    record(rig, stream, count=3)
    rig.clock.advance(3 * MINUTE)
    assert keeping.look() == 1
    for _ in range(2):
        # Killed: nothing is closed, and the journal is read from what is there.
        rig.restart_collect(WRITER)
        keeping = keeper(rig)
        # What it said before is not sealed yet.
        assert keeping.look() == 0
        rig.seal()
        assert keeping.look() == 0
    record(rig, stream, count=2)
    rig.clock.advance(3 * MINUTE)
    assert keeping.look() == 1
    rig.seal()
    assert [json.loads(row["detail"])["received"] for row in told(rig)] == [3, 2]


def test_what_is_left_when_it_has_to_end_is_told_by_the_next_start(rig: LogRig) -> None:
    for _ in range(3):
        record(rig, rig.open_stream(node_id="web-1"), count=3)
        rig.clock.advance(3 * MINUTE)
    keeping = keeper(rig)
    rig.seal()
    assert keeping.look(lambda: True) == 0
    rig.restart_collect(WRITER)
    keeping = keeper(rig)
    rig.seal()
    told_count = keeping.look()
    # The last minute ends when nothing waits to be sealed.
    rig.seal()
    assert told_count + keeping.look() == 3


def test_a_new_start_learns_what_was_told_of_where_proxies_report_from(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = keeper(rig)
    stream = rig.open_stream(node_id="web-1")
    message = accesslog_pb2.HTTPAccessLogEntry()
    served = message.common_properties.downstream_local_address.socket_address
    served.address, served.port_value = "10.0.0.9", 8_080
    for _ in range(3):
        rig.append(rig.load.als(stream, [message.SerializeToString()]))
        rig.seal()
        rig.clock.advance(9 * MINUTE)
        keeping.look()
        rig.seal()
    listed = [json.loads(row["detail"]) for row in told(rig)]
    places = [one["places"] for one in listed if one.get("name") == "ledger_places"]
    assert [place[0] for place in places[-1]] == ["10.0.0.9"]
    learned: list[Place] = []
    monkeypatch.setattr(Ledger, "learn", lambda _, known, __: learned.extend(known))
    rig.restart_collect(WRITER)
    keeping = keeper(rig)
    rig.seal()
    keeping.look()
    assert [list(one) for one in learned] == places[-1]


def test_a_new_start_learns_what_reporters_used_to_log(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping = keeper(rig)
    stream = rig.open_stream(node_id="web-1")
    was_logged = iter([Logged(), Logged(requests=True), Logged(requests=True, connections=True)])
    monkeypatch.setattr(ProxyAccount, "logged", property(lambda _: next(was_logged)))
    for _ in range(3):
        record(rig, stream, count=1)
        rig.clock.advance(3 * MINUTE)
        assert keeping.look() == 1
        rig.seal()
    learned: dict[Reporter, Logged] = {}
    monkeypatch.setattr(Ledger, "learn", lambda _, __, logged: learned.update(logged))
    rig.restart_collect(WRITER)
    keeping = keeper(rig)
    rig.seal()
    keeping._begin()
    assert learned == {Reporter("web-1"): Logged(requests=True, connections=True)}


def test_the_streams_of_the_ledger_itself_count_without_a_hole(rig: LogRig) -> None:
    keeping = keeper(rig)
    stream = rig.open_stream(node_id="web-1")
    record(rig, stream, count=3)
    rig.clock.advance(3 * MINUTE)
    keeping.look()
    rig.restart_collect(WRITER)
    keeper(rig).close()
    rig.clock.advance(MILLISECOND)
    rig.seal()
    table = ds.dataset(sorted(map(str, rig.layout.segments.glob("*.parquet")))).to_table(
        columns=["stream", "seq", "kind", "about"]
    )
    streams: dict[int, list[tuple[int, str]]] = {}
    for row in table.to_pylist():
        if row["stream"] != stream:
            streams.setdefault(row["stream"], []).append((row["seq"], row["kind"]))
    assert sorted(sorted(one) for one in streams.values()) == [
        [(0, "stream_opened"), (1, "counter"), (2, "stream_closed")],
        [(0, "stream_opened"), (1, "stream_closed")],
    ]


def test_an_inventory_is_gone_by_from_the_next_look_on(rig: LogRig, tmp_path: Path) -> None:
    path = tmp_path / "inventory.json"
    path.write_text('{"pods": []}')
    file = InventoryFile(path, SilentDiag())
    keeping = keeper(rig, file)
    record(rig, rig.open_stream(), count=1)
    keeping.look()
    assert file.read_changed() is None


def test_account_is_kept_without_an_inventory_until_its_file_is_one(
    rig: LogRig, tmp_path: Path
) -> None:
    path, diag = tmp_path / "inventory.json", SilentDiag()
    keeping = keeper(rig, InventoryFile(path, diag))
    assert diag.events == ["inventory_refused"]
    record(rig, rig.open_stream(node_id="web-1"), count=3)
    keeping.look()
    rig.clock.advance(3 * MINUTE)
    assert keeping.look() == 1
    path.write_text('{"pods": []}')
    keeping.look()
    assert diag.events == ["inventory_refused", "inventory_read"]


def test_what_is_known_of_keys_outlives_a_change_of_the_inventory(
    rig: LogRig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[SharedKeys, bytes]] = []

    def note(keys: SharedKeys, _: object) -> list[Statement]:
        used.append((keys, keys.inventory.sha256))
        return []

    monkeypatch.setattr(SharedKeys, "take", note)
    path = tmp_path / "inventory.json"
    path.write_text('{"pods": []}')
    keeping = keeper(rig, InventoryFile(path, SilentDiag()))
    stream = rig.open_stream()
    record(rig, stream, count=1)
    keeping.look()
    path.write_text('{"pods": [ ]}')
    record(rig, stream, count=1)
    keeping.look()
    (first, before), (second, after) = used[0], used[-1]
    assert first is second
    assert before != after


def timed_record(received_ns: int) -> bytes:
    """A record of a proxy whose clock is seven seconds ahead, sent at once."""
    message = accesslog_pb2.HTTPAccessLogEntry()
    message.common_properties.start_time.FromNanoseconds(received_ns + 7 * SECOND - MILLISECOND)
    message.common_properties.duration.FromNanoseconds(MILLISECOND)
    data: bytes = message.SerializeToString()
    return data


def test_events_say_what_was_stated_of_their_reporters_clock(rig: LogRig) -> None:
    keeping = keeper(rig)
    stream, other = rig.open_stream(node_id="web-1"), rig.open_stream(node_id="web-2")
    for _ in range(12):
        rig.append(rig.load.als(stream, [timed_record(rig.clock.wall_ns())]))
        rig.clock.advance(SECOND)
    rig.seal()
    told_count = keeping.look()
    rig.clock.advance(MINUTE)
    assert told_count + keeping.look() == 1
    # Sealed in one tick with records before and behind it, then by the next sealer.
    for _ in range(2):
        for one in (stream, other):
            rig.append(rig.load.als(one, [timed_record(rig.clock.wall_ns())]))
        rig.seal()
    columns = ["log_index", "kind", "reporter_id", "time_offset", "time_error", "time_quality"]
    rows = ds.dataset(sorted(map(str, rig.layout.segments.glob("*.parquet")))).to_table(
        columns=columns, filter=ds.field("kind") == "request"
    )
    told = rows.sort_by("log_index").to_pylist()[-4:]
    assert [(row["reporter_id"], row["time_quality"]) for row in told] == [
        ("web-1", "estimated"),
        ("web-2", "unknown"),
    ] * 2
    for row in told[::2]:
        assert abs(row["time_offset"] - 7 * SECOND) <= row["time_error"] < SECOND
    trusted = TrustedKey(verifier=SIGNER.verifier, source=KeySource.OPTION)
    report = audit(rig.layout.root, trusted=trusted, is_deep=True, workers=1)
    assert report.is_clean


def test_a_wall_clock_that_is_set_ahead_makes_time_pass_no_faster_than_the_collectors(
    rig: LogRig,
) -> None:
    keeping = keeper(rig)
    record(rig, rig.open_stream(node_id="web-1"), count=3)
    keeping.look()
    before_ns = rig.clock.wall_ns()
    rig.clock.step(10 * MINUTE)
    for _ in range(4):
        rig.clock.advance(MINUTE)
        keeping.look()
    rig.seal()
    (minute,) = told(rig)
    # Four minutes at one and a half their speed.
    assert json.loads(minute["detail"])["step_ns"] <= before_ns + 6 * MINUTE
    assert before_ns < minute["received_time"] <= before_ns + 6 * MINUTE


def test_a_step_of_the_collectors_clock_is_nothing_that_the_ledger_told(rig: LogRig) -> None:
    keeping = keeper(rig)
    stream = rig.open_stream(node_id="web-1")
    record(rig, stream, count=3)
    rig.clock.advance(3 * MINUTE)
    assert keeping.look() == 1
    step: dict[str, object] = {"collector_ns": 5, "step_ns": 2, "wall_ns": 7}
    own = rig.open_stream(node_id="")
    rig.append(rig.load._own(own, EntryType.CLOCK, step))
    rig.seal()
    rig.restart_collect(WRITER)
    again = keeper(rig)
    rig.seal()
    assert again.look() == 0


def test_a_step_that_only_takes_findings_back_is_not_told_again(
    rig: LogRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = finding_about(None, Cause.PAIRED_LATE, from_ns=None, until_ns=None, entries=[2])
    ends_ns: list[int] = []

    def pass_time(_: Ledger, now_ns: int) -> list[Step]:
        """One step, the same in each run."""
        ends_ns.append(now_ns)
        return [Step(ends_ns[0], [late])]

    monkeypatch.setattr(Ledger, "pass_time", pass_time)
    keeping = keeper(rig)
    record(rig, rig.open_stream(node_id="web-1"), count=3)
    assert keeping.look() == 1
    rig.restart_collect(WRITER)
    keeping = keeper(rig)
    rig.seal()
    assert keeping.look() == 0
    assert len(ends_ns) == 2
