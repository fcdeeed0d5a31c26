from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.correlate.pairing import Pairing, PairingOptions, open_records
from meshtrail.errors import ClockError, ConfigError
from tests.rig.pairing_runs import SECOND, Found, run_pairing
from tests.rig.simulated_mesh import EPOCH, MS, SimulatedMesh, make_table

if TYPE_CHECKING:
    import pyarrow as pa

MINUTE = 60 * SECOND


@pytest.fixture
def mesh() -> SimulatedMesh:
    return SimulatedMesh(seed=1)


def calls(mesh: SimulatedMesh, count: int, *, lose: str = "", start: int = 0) -> pa.Table:
    """Calls from web to pay; the records of one side may be lost."""
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.rows.clear()
    for at in range(count):
        mesh.request(web, pay, start + at * SECOND // 10)
    return make_table([row for row in mesh.rows if row["side"] != lose], first_index=start)


def test_pairs_tell_times_and_reporters_of_both_ends(mesh: SimulatedMesh) -> None:
    table = calls(mesh, 1)
    (pair,) = run_pairing(table).pairs.values()
    rows = {row["side"]: row for row in table.to_pylist()}
    for end, row in rows.items():
        for name in ("time", "end_time", "received_time", "reporter_id", "reporter_spiffe_id"):
            assert pair[f"{end}_{name}"] == row[name]
        assert pair[f"{end}_index"] == row["log_index"]
    assert pair["same_request_id"]
    assert pair["kind"] == "request"


def test_nothing_is_told_before_grace_and_nothing_missed_after_it(mesh: SimulatedMesh) -> None:
    table = calls(mesh, 1, lose="destination")
    received = table.column("received_time")[0].as_py()
    pairing = Pairing(PairingOptions())
    assert pairing.take(table, watermark_ns=received + MINUTE).unpaired.num_rows == 0
    outcome = pairing.take(table.slice(0, 0), watermark_ns=received + MINUTE + 2 * SECOND)
    (row,) = outcome.unpaired.to_pylist()
    assert (row["log_index"], row["side"], row["other_ip"]) == (0, "source", "10.0.2.1")
    assert (row["other_port"], row["reason"]) == (15_006, "not_meshed")
    assert outcome.decided_until_ns == received + MINUTE + 2 * SECOND


def test_rows_that_fall_behind_are_refused(mesh: SimulatedMesh) -> None:
    table = calls(mesh, 2)
    with pytest.raises(ClockError, match="falls from"):
        Pairing(PairingOptions()).take(table.take(list(range(table.num_rows))[::-1]))
    pairing = Pairing(PairingOptions())
    pairing.take(table.slice(0, 0), watermark_ns=EPOCH + MINUTE)
    with pytest.raises(ClockError, match="received_time"):
        pairing.take(table)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_ns": 0},
        {"settle_ns": SECOND // 2},
        {"grace_ns": 10 * SECOND},
        {"late_ns": -1},
        {"open_max": 0},
    ],
)
def test_options_that_contradict_one_another_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="pairing"):
        PairingOptions(**wrong)


def test_the_oldest_beyond_the_bound_are_told_as_overflow(mesh: SimulatedMesh) -> None:
    table = calls(mesh, 50, lose="destination")
    found = run_pairing(table, options=PairingOptions(open_max=20))
    reasons = sorted(found.reasons.items())
    assert [reason for _, reason in reasons] == ["overflow"] * 30 + ["not_meshed"] * 20
    found.check_counts()
    assert found.total("unpaired") == 30


def test_what_nobody_waits_for_goes_before_what_is_awaited(mesh: SimulatedMesh) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.request(web, pay, 0)
    mesh.rows = [row for row in mesh.rows if row["side"] == "source"]
    for at in range(30):
        mesh.from_browser(pay, SECOND * 3 + at * MS)
    found = run_pairing(make_table(mesh.rows), options=PairingOptions(open_max=10))
    assert found.forgotten_count == 21
    assert list(found.reasons.values()) == ["silent_reporter"]


def test_attempts_whose_request_is_reported_late_are_taken_back(mesh: SimulatedMesh) -> None:
    mesh.retried(mesh.pods["web-0"], [mesh.pods["pay-0"], mesh.pods["pay-1"]], 0)
    mesh.rows[-1]["received_time"] += 2 * MINUTE
    found = run_pairing(make_table(mesh.rows))
    assert len(found.unpaired) == len(found.retracted) == 2
    assert [row["source_index"] for row in found.attempts.values()] == [2]
    assert not found.reasons
    found.check_counts()


def test_attempts_are_no_sign_that_their_caller_is_sampled(mesh: SimulatedMesh) -> None:
    web, replicas = mesh.pods["web-0"], [mesh.pods["pay-0"], mesh.pods["pay-1"]]
    for at in range(200):
        mesh.retried(web, replicas, at * SECOND // 2)
    lost = mesh.rows.pop(3 * 20 + 2)
    assert (lost["side"], lost["envoy_attempt_count"]) == ("source", 2)
    found = run_pairing(make_table(mesh.rows))
    assert list(found.reasons.values()) == ["unknown", "unknown"]


@pytest.mark.parametrize(
    ("lag", "told_after"),
    [(0, None), (10 * MINUTE, None), (70 * MINUTE, 61 * MINUTE)],
)
def test_a_stream_that_goes_on_at_the_other_end_is_waited_for_an_hour(
    mesh: SimulatedMesh, lag: int, told_after: int | None
) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.stream(web, pay, 0, took_ns=20 * MINUTE, lag_ns=lag)
    table = make_table(mesh.rows)
    found = run_pairing(table)
    assert len(found.pairs) == (told_after is None)
    assert {side for _, side in found.unpaired} == (
        {"source", "destination"} if told_after else set()
    )
    if told_after:
        pairing = Pairing(PairingOptions())
        received = next(
            row["received_time"]
            for row in table.to_pylist()
            if (row["side"], row["envoy_access_log_type"]) == ("source", "DownstreamEnd")
        )
        early = table.filter([at <= received + told_after for at in received_times(table)])
        assert pairing.take(early).unpaired.num_rows == 0
        late = received + told_after + 2 * SECOND
        assert pairing.take(table.slice(0, 0), watermark_ns=late).unpaired.num_rows == 1


def test_a_stream_whose_other_end_fell_silent_is_told_after_a_quarter_of_an_hour(
    mesh: SimulatedMesh,
) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    mesh.stream(web, pay, 0, took_ns=5 * MINUTE)
    ends = {"side": "destination", "envoy_access_log_type": "DownstreamEnd"}
    mesh.rows = [row for row in mesh.rows if not ends.items() <= row.items()]
    table = make_table(mesh.rows)
    last = max(row["received_time"] for row in mesh.rows if row["side"] == "destination")
    pairing = Pairing(PairingOptions())
    pairing.take(table)
    nothing = table.slice(0, 0)
    assert pairing.take(nothing, watermark_ns=last + 15 * MINUTE).unpaired.num_rows == 0
    told = pairing.take(nothing, watermark_ns=last + 15 * MINUTE + 2 * SECOND).unpaired
    assert told.num_rows == 1


def received_times(table: pa.Table) -> list[int]:
    return [int(moment) for moment in table.column("received_time").to_pylist()]


def test_addresses_and_reporters_are_forgotten_without_a_change_of_what_is_found() -> None:
    mesh = SimulatedMesh(seed=2)
    mesh.traffic(seconds=40, calls_per_s=10)
    rows = [row for row in mesh.rows if mesh.random.random() > 0.1]
    for at, row in enumerate(rows):
        if row["src_spiffe_id"] is None:
            row["src_ip"] = f"192.0.2.{at % 250}"
    table = make_table(rows)
    cuts = range(10, table.num_rows, 10)
    want = run_pairing(table)
    assert run_pairing(table, cuts=cuts, options=PairingOptions(names_max=24)) == want


def test_attempts_are_found_after_addresses_were_forgotten(mesh: SimulatedMesh) -> None:
    web, pay = mesh.pods["web-0"], mesh.pods["pay-0"]
    for at in range(300):
        mesh.from_browser(pay, at * SECOND)
        mesh.rows[-1]["src_ip"] = f"192.0.2.{at % 250}"
    mesh.retried(web, [pay, mesh.pods["pay-1"]], 150 * SECOND)
    table = make_table(mesh.rows)
    options = PairingOptions(names_max=1, late_ns=0)
    found = run_pairing(table, cuts=range(table.num_rows), options=options)
    assert (len(found.attempts), found.reasons) == (1, {})


def test_records_are_found_where_they_moved_to(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = SimulatedMesh(seed=4)
    mesh.traffic(seconds=60, calls_per_s=10)
    table = make_table([row for row in mesh.rows if mesh.random.random() > 0.1])
    want = run_pairing(table)
    monkeypatch.setattr(open_records, "_HOLES_MIN", 0)
    assert run_pairing(table) == want


def test_names_do_not_grow_with_the_addresses_of_strangers(mesh: SimulatedMesh) -> None:
    options = PairingOptions(names_max=100, late_ns=0, memory_ns=10 * MINUTE)
    pairing, pay = Pairing(options), mesh.pods["pay-0"]
    for minute in range(30):
        mesh.rows.clear()
        for at in range(50):
            mesh.from_browser(pay, minute * MINUTE + at * SECOND)
            mesh.rows[-1]["src_ip"] = f"198.51.{minute}.{at}"
        pairing.take(make_table(mesh.rows, first_index=minute * 50))
    registers = pairing._state.registers
    assert len(registers.addresses) < 400
    assert len(pairing._state.memory.reporter) < 1_000


def test_what_is_recalled_explains_what_follows(mesh: SimulatedMesh) -> None:
    before = calls(mesh, 2)
    after = calls(mesh, 1, lose="destination", start=10 * MINUTE)

    def reason(recalled: pa.Table) -> str:
        pairing = Pairing(PairingOptions())
        pairing.recall(recalled)
        found = Found()
        found.add(pairing.take(after, watermark_ns=EPOCH + 20 * MINUTE))
        (told,) = found.reasons.values()
        return told

    assert reason(before.slice(0, 0)) == "not_meshed"
    assert reason(before) == "silent_reporter"


@pytest.mark.parametrize(
    ("minutes", "want"), [(30, "silent_reporter"), (90, "unknown"), (25 * 60, "not_meshed")]
)
def test_silence_is_told_for_an_hour_and_the_proxy_remembered_for_a_day(
    mesh: SimulatedMesh, minutes: int, want: str
) -> None:
    before = calls(mesh, 2)
    after = calls(mesh, 1, lose="destination", start=minutes * MINUTE)
    pairing = Pairing(PairingOptions())
    pairing.take(before)
    found = Found()
    found.add(pairing.take(after, watermark_ns=EPOCH + (minutes + 5) * MINUTE))
    assert list(found.reasons.values()) == [want]


def test_replaying_the_last_stretch_leads_to_the_same_decisions() -> None:
    mesh = SimulatedMesh(seed=3)
    mesh.traffic(seconds=400, calls_per_s=5)
    rows = [row for row in mesh.rows if mesh.random.random() > 0.05]
    table = make_table(rows)
    second = 8 * SECOND
    options = PairingOptions(
        settle_ns=2 * SECOND, grace_ns=second, late_ns=second, alive_ns=second, longest_ns=second
    )
    received = table.column("received_time").to_pylist()
    crash = next(at for at, moment in enumerate(received) if moment > EPOCH + 300 * SECOND)
    whole, again = Pairing(options), Pairing(options)
    whole.take(table.slice(0, crash))
    first = next(
        at for at, moment in enumerate(received) if moment > received[crash] - options.replay_ns
    )
    assert 0 < first < crash
    again.recall(table.slice(0, first))
    again.take(table.slice(first, crash - first))
    told = [pairing.take(table.slice(crash)) for pairing in (whole, again)]
    assert told[0].pairs.num_rows > 100
    assert told[0].unpaired.num_rows > 10
    assert told[1].pairs == told[0].pairs
    assert told[1].unpaired == told[0].unpaired
    assert told[1].attempts == told[0].attempts
