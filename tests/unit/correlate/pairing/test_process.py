from __future__ import annotations

import pytest

from meshtrail.correlate.pairing import Pairing, PairingOptions
from meshtrail.errors import ClockError
from tests.rig.pairing_runs import SECOND, make_calls
from tests.rig.simulated_mesh import EPOCH, SimulatedMesh, make_table

MINUTE = 60 * SECOND


@pytest.fixture
def mesh() -> SimulatedMesh:
    return SimulatedMesh(seed=1)


def test_nothing_is_told_before_grace_and_nothing_missed_after_it(mesh: SimulatedMesh) -> None:
    table = make_calls(mesh, 1, lose="destination")
    received = table.column("received_time")[0].as_py()
    pairing = Pairing(PairingOptions())
    assert pairing.take(table, watermark_ns=received + MINUTE).unpaired.num_rows == 0
    outcome = pairing.take(table.slice(0, 0), watermark_ns=received + MINUTE + 2 * SECOND)
    (row,) = outcome.unpaired.to_pylist()
    assert (row["log_index"], row["side"], row["other_ip"]) == (0, "source", "10.0.2.1")
    assert (row["other_port"], row["reason"]) == (15_006, "not_meshed")
    assert outcome.decided_until_ns == received + MINUTE + 2 * SECOND


def test_rows_that_fall_behind_are_refused(mesh: SimulatedMesh) -> None:
    table = make_calls(mesh, 2)
    with pytest.raises(ClockError, match="falls from"):
        Pairing(PairingOptions()).take(table.take(list(range(table.num_rows))[::-1]))
    pairing = Pairing(PairingOptions())
    pairing.take(table.slice(0, 0), watermark_ns=EPOCH + MINUTE)
    with pytest.raises(ClockError, match="received_time"):
        pairing.take(table)


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
    again.learn(whole.places())
    again.take(table.slice(first, crash - first))
    told = [pairing.take(table.slice(crash)) for pairing in (whole, again)]
    assert told[0].pairs.num_rows > 100
    assert told[0].unpaired.num_rows > 10
    for name in ("pairs", "unpaired", "attempts"):
        again_told, whole_told = (getattr(one, name).to_pylist() for one in reversed(told))
        assert again_told == whole_told
