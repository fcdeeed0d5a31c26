from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow.dataset as ds
import pytest

from meshtrail.app.inventory_file import InventoryFile
from meshtrail.app.ledger_keeper import WRITER, LedgerKeeper
from tests.log_rig import MILLISECOND, MINUTE, ORIGIN, SIGNER, LogRig, SilentDiag

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[LogRig]:
    rig = LogRig(tmp_path)
    yield rig
    rig.close()


def keeper(rig: LogRig) -> LedgerKeeper:
    return LedgerKeeper(
        rig.layout,
        SIGNER.verifier,
        origin=ORIGIN,
        journal=rig.open_writer(WRITER),
        clock=rig.clock,
        version="1.2",
    )


def told(rig: LogRig) -> list[dict[str, Any]]:
    """What the sealed log holds of the ledger's statements."""
    table = ds.dataset(sorted(map(str, rig.layout.segments.glob("*.parquet")))).to_table(
        columns=["log_index", "kind", "about", "detail", "missing_min"]
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
    keeping = LedgerKeeper(
        rig.layout,
        SIGNER.verifier,
        origin=ORIGIN,
        journal=rig.open_writer(WRITER),
        clock=rig.clock,
        version="1.2",
        inventory=file,
    )
    record(rig, rig.open_stream(), count=1)
    keeping.look()
    assert file.read_changed() is None
