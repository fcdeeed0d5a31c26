from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.correlate.pairing import Pairing, PairingOptions
from tests.rig.pairing_runs import SECOND, Found, make_calls, run_pairing
from tests.rig.simulated_mesh import EPOCH, SimulatedMesh, make_table

if TYPE_CHECKING:
    import pyarrow as pa

MINUTE = 60 * SECOND


@pytest.fixture
def mesh() -> SimulatedMesh:
    return SimulatedMesh(seed=1)


def test_attempts_are_no_sign_that_their_caller_is_sampled(mesh: SimulatedMesh) -> None:
    web, replicas = mesh.pods["web-0"], [mesh.pods["pay-0"], mesh.pods["pay-1"]]
    for at in range(200):
        mesh.retried(web, replicas, at * SECOND // 2)
    lost = mesh.rows.pop(3 * 20 + 2)
    assert (lost["side"], lost["envoy_attempt_count"]) == ("source", 2)
    found = run_pairing(make_table(mesh.rows))
    assert list(found.reasons.values()) == ["unknown", "unknown"]


def test_what_is_learned_explains_what_follows(mesh: SimulatedMesh) -> None:
    before = make_calls(mesh, 2)
    after = make_calls(mesh, 1, lose="destination", start=10 * MINUTE)

    def reason(table: pa.Table) -> str:
        earlier = Pairing(PairingOptions())
        earlier.take(table, watermark_ns=EPOCH + 5 * MINUTE)
        pairing = Pairing(PairingOptions())
        pairing.learn(earlier.places())
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
    before = make_calls(mesh, 2)
    after = make_calls(mesh, 1, lose="destination", start=minutes * MINUTE)
    pairing = Pairing(PairingOptions())
    pairing.take(before)
    found = Found()
    found.add(pairing.take(after, watermark_ns=EPOCH + (minutes + 5) * MINUTE))
    assert list(found.reasons.values()) == [want]
