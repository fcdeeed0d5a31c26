from __future__ import annotations

import pytest

from meshtrail.correlate.pairing import Pairing, PairingOptions, open_records
from tests.rig.pairing_runs import SECOND, run_pairing
from tests.rig.simulated_mesh import SimulatedMesh, make_table

MINUTE = 60 * SECOND


@pytest.fixture
def mesh() -> SimulatedMesh:
    return SimulatedMesh(seed=1)


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
