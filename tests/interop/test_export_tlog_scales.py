"""The exported log, read and checked by ``tlog-scales``, an independent implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint

from meshtrail.note import format_vkey
from meshtrail.store.durable import Disk
from meshtrail.store.export_tlog import export_tlog
from meshtrail.store.segment import read_segment
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("sizes", [[1], [7, 250], [256, 256], [300, 400]])
def test_tlog_scales_reads_every_entry_and_finds_the_same_root(
    tmp_path: Path, sizes: list[int]
) -> None:
    log = make_log(tmp_path / "data")
    paths = [log.add_segment([{}] * size) for size in sizes]
    verifier = log.signer.verifier
    out = tmp_path / "out"
    export_tlog(Disk(), log.layout, verifier, origin=ORIGIN, out=out, progress=lambda *_: None)
    entries = [entry for path in paths for entry in read_segment(path)["entry"].to_pylist()]
    checkpoint = Checkpoint.from_text((out / "checkpoint").read_text())
    checkpoint.verify(Vkey.from_string(format_vkey(verifier)))
    reader = TilesReader(LocalBackend(out))
    reader.set_size(checkpoint.size)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    assert [reader.get_entry(index) for index in range(checkpoint.size)] == entries
