from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail import verify
from meshtrail.errors import JournalDamageError
from meshtrail.log import taking
from meshtrail.log.deriving import DeriverHere
from tests.log_rig import MINUTE, LogRig
from tests.otlp_exports import Scope

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.log.sealer import Sealer

ONE_BATCH = 1
"""A batch is read whole, however large: with this bound of bytes a tick seals one."""


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little is read, the next is read ahead of it."""
    monkeypatch.setattr(taking, "AHEAD_BYTES_MIN", 0)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many entries each call put on the way."""
    counts: list[int] = []
    begin = DeriverHere.begin

    def note(self: DeriverHere, headers: list[object], *rest: object) -> None:
        counts.append(len(headers))
        begin(self, headers, *rest)  # type: ignore[arg-type] # handed on as they came

    monkeypatch.setattr(DeriverHere, "begin", note)
    return counts


def make_rig(tmp_path: Path) -> LogRig:
    """Three batches, of one, two and three entries."""
    rig = LogRig(tmp_path)
    stream = rig.open_stream()
    rig.append(rig.load.http(stream, 2))
    rig.append(rig.load.tcp(stream, 3))
    return rig


def append_more(rig: LogRig, count: int) -> None:
    (stream,) = rig.durable
    rig.append(rig.load.http(stream, count))


def verify_deep(rig: LogRig) -> None:
    """Every entry has its own event, and times never go back."""
    key = verify.TrustedKey(verifier=rig.signer.verifier, source=verify.KeySource.OPTION)
    found = verify.audit(rig.layout.root, trusted=key, is_deep=True, workers=1)
    assert found.derived_count == found.tree_size > 0


def seal_all(sealer: Sealer) -> list[int]:
    sealed = []
    while count := sealer.tick():
        sealed.append(count)
    return sealed


@pytest.mark.usefixtures("ahead")
def test_the_next_are_derived_already_while_those_before_are_written(
    tmp_path: Path, begun: list[int]
) -> None:
    rig = make_rig(tmp_path)
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert sealer.tick() == 1
        assert begun == [1, 2]
        assert sealer.tick() == 2
        assert begun == [1, 2, 3]
        assert seal_all(sealer) == [3]
        append_more(rig, 4)
        assert seal_all(sealer) == [4]
    assert begun == [1, 2, 3, 4]
    verify_deep(rig)


@pytest.mark.usefixtures("ahead")
def test_entries_of_a_clock_that_went_back_do_not_go_back_when_taken_ahead(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.clock.wall -= MINUTE
    append_more(rig, 2)
    append_more(rig, 1)
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert seal_all(sealer) == [1, 2, 3, 2, 1]
    verify_deep(rig)


@pytest.mark.usefixtures("ahead")
def test_blobs_are_there_before_those_are_derived_who_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process of its own may read them as soon as entries are on the way."""
    rig = make_rig(tmp_path)
    (stream,) = rig.durable
    rig.append(rig.load.http(stream, 1, record_bytes=100_000))
    blobs = []
    begin = DeriverHere.begin

    def look(self: DeriverHere, *begun: Any) -> None:
        blobs.append(len(list(rig.layout.blobs.iterdir())))
        begin(self, *begun)

    monkeypatch.setattr(DeriverHere, "begin", look)
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert seal_all(sealer) == [1, 2, 3, 1]
    assert blobs == [0, 0, 0, 1]


def test_little_is_not_taken_ahead(tmp_path: Path, begun: list[int]) -> None:
    with make_rig(tmp_path).open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert sealer.tick() == 1
        assert begun == [1]


def test_much_that_arrives_while_a_tick_is_derived_is_taken_ahead(
    tmp_path: Path, begun: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = LogRig(tmp_path)
    stream = rig.open_stream()
    arriving = [rig.load.http(stream, 1), rig.load.http(stream, 90)]
    monkeypatch.setattr(taking, "AHEAD_BYTES_MIN", len(arriving[1].data))
    take = DeriverHere.take

    def take_slowly(self: DeriverHere) -> object:
        if arriving:
            rig.append(arriving.pop(0))
        return take(self)

    monkeypatch.setattr(DeriverHere, "take", take_slowly)
    with rig.open_sealer() as sealer:
        assert sealer.tick() == 1
        assert begun == [1]
        assert sealer.tick() == 1
        assert begun == [1, 1, 90]
        assert sealer.tick() == 90
    rig.audit()


def test_journals_were_read_last_when_more_was_taken_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path)
    monkeypatch.setattr(taking, "AHEAD_BYTES_MIN", 0)
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        rig.clock.advance(MINUTE)
        assert sealer.tick() == 1
        read_ns = rig.clock.monotonic_ns()
        assert sealer.read_ns == read_ns
        monkeypatch.setattr(taking, "AHEAD_BYTES_MIN", 1 << 40)
        rig.clock.advance(MINUTE)
        assert sealer.tick() == 2
        assert sealer.read_ns == read_ns


def test_a_tick_goes_on_behind_the_end_of_a_file(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.restart_collect()
    append_more(rig, 4)
    with rig.open_sealer() as sealer:
        assert sealer.tick() == 10
        assert len(list((rig.layout.journals / "collect").glob("0*"))) == 1
    rig.audit()


@pytest.mark.parametrize("bound", ["read_bytes_max", "read_records_max"])
def test_a_tick_keeps_its_bounds_behind_the_end_of_a_file(tmp_path: Path, bound: str) -> None:
    rig = make_rig(tmp_path)
    (file,) = (rig.layout.journals / "collect").glob("0*")
    most = {"read_bytes_max": 2 * file.stat().st_size, "read_records_max": 2 * 6}[bound]
    rig.restart_collect()
    for _ in range(20):
        append_more(rig, 1)
    with rig.open_sealer(disk=None, **{bound: most}) as sealer:
        first = sealer.tick()
        assert 6 < first <= {"read_bytes_max": 20, "read_records_max": 12}[bound]
        assert sum(seal_all(sealer)) == 26 - first
    rig.audit()


def test_a_tick_takes_fewer_exports_whose_records_repeat_a_large_resource(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    (stream,) = rig.durable
    for _ in range(4):
        rig.append(rig.load.otlp(stream, [Scope(None, [b""] * 5)], resource=bytes(30_000)))
    with rig.open_sealer(read_records_max=2 * 5 * 30 + 6) as sealer:
        assert seal_all(sealer) == [6 + 2 * 5, 2 * 5]
    rig.audit()


def test_what_is_whole_before_a_damaged_file_is_sealed_before_it_is_told(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.restart_collect()
    append_more(rig, 4)
    rig.restart_collect()
    *_, damaged, _ = sorted((rig.layout.journals / "collect").glob("0*"))
    damaged.write_bytes(bytes(damaged.stat().st_size))
    with rig.open_sealer() as sealer:
        assert sealer.tick() == 6
        with pytest.raises(JournalDamageError, match="bad header"):
            sealer.tick()


@pytest.mark.usefixtures("ahead")
def test_what_was_taken_ahead_and_not_sealed_is_taken_again_by_the_next_start(
    tmp_path: Path,
) -> None:
    rig = make_rig(tmp_path)
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert sealer.tick() == 1
    rig.restart_collect()
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert seal_all(sealer) == [2, 3]
    rig.audit()


@pytest.mark.usefixtures("ahead")
def test_a_journal_that_is_damaged_further_on_does_not_keep_what_stands_before(
    tmp_path: Path,
) -> None:
    rig = make_rig(tmp_path)
    rig.restart_collect()
    path, _ = sorted(rig.layout.journals.glob("collect/0*"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert sealer.tick() == 1
        assert sealer.tick() == 2
        with pytest.raises(JournalDamageError):
            sealer.tick()
        assert sealer.tree_size == 3


@pytest.mark.usefixtures("ahead")
def test_a_journal_file_stays_until_what_was_read_of_it_is_sealed(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.restart_collect()
    append_more(rig, 1)
    first, _ = sorted(rig.layout.journals.glob("collect/0*"))
    with rig.open_sealer(read_bytes_max=ONE_BATCH) as sealer:
        assert [sealer.tick(), sealer.tick(), sealer.tick()] == [1, 2, 3]
        # Reading has gone on to the second file, sealing has not.
        assert first.exists()
        assert sealer.tick() == 1
        assert not first.exists()
