from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import ManifestError, ManifestSyntaxError, NoteSyntaxError, SignatureError
from meshtrail.note import generate_signer
from meshtrail.store.layout import RangeFile, segment_file, tiles_file
from meshtrail.store.manifest import (
    CommittedFile,
    JournalPosition,
    LiveFiles,
    Manifest,
    format_manifest,
    is_writer_name,
    manifest_digest,
    open_manifest,
    parse_manifest,
    sign_manifest,
)
from meshtrail.units import TreeSize, UnixNanos

ORIGIN = "mesh/one/1f2e3d4c"
SIGNER = generate_signer(ORIGIN)
NUMBERS = st.integers(0, 2**63 - 1)
DIGESTS = st.binary(min_size=32, max_size=32)
RANGES = st.builds(
    lambda folder, ends: RangeFile(folder, min(ends), max(ends)),
    st.sampled_from(["segments", "tiles"]),
    st.sets(st.integers(0, 10**12 - 1), min_size=2, max_size=2),
)
FILES = st.lists(st.builds(CommittedFile, RANGES, NUMBERS, DIGESTS), unique_by=lambda f: f.named)
JOURNALS = st.lists(
    st.builds(
        JournalPosition, st.from_regex(r"[a-z][a-z0-9-]{0,30}", fullmatch=True), NUMBERS, NUMBERS
    ),
    unique_by=lambda at: at.writer,
)
MANIFESTS = st.builds(
    Manifest,
    origin=st.from_regex(r"[a-z0-9]{1,8}/[a-z]{1,8}/[0-9a-f]{8}", fullmatch=True),
    number=NUMBERS,
    previous=st.none() | DIGESTS,
    time_ns=NUMBERS.map(UnixNanos),
    tree_size=NUMBERS.map(TreeSize),
    root_hash=DIGESTS,
    reasons=st.sampled_from([("tick",), ("tick", "merge"), ("merge",), ("start",), ("snapshot",)]),
    is_snapshot=st.sampled_from([False]),
    journals=JOURNALS.map(tuple),
    dropped=st.lists(RANGES, unique=True).map(tuple),
    files=FILES.map(tuple),
) | st.builds(
    Manifest,
    origin=st.just(ORIGIN),
    number=NUMBERS,
    previous=DIGESTS,
    time_ns=NUMBERS.map(UnixNanos),
    tree_size=NUMBERS.map(TreeSize),
    root_hash=DIGESTS,
    reasons=st.just(("start",)),
    is_snapshot=st.sampled_from([True]),
    journals=JOURNALS.map(tuple),
    dropped=st.just(()),
    files=FILES.map(tuple),
)


def file_of(named: RangeFile, *, content: int = 1) -> CommittedFile:
    return CommittedFile(named, 100, bytes([content]) * 32)


def pair_of(start: int, end: int) -> tuple[CommittedFile, CommittedFile]:
    return file_of(segment_file(start, end)), file_of(tiles_file(start, end))


def manifest_of(
    *files: CommittedFile, number: int = 1, dropped: tuple[RangeFile, ...] = ()
) -> Manifest:
    return Manifest(
        origin=ORIGIN,
        number=number,
        previous=b"p" * 32,
        time_ns=UnixNanos(5),
        tree_size=TreeSize(10),
        root_hash=b"r" * 32,
        reasons=("tick", "merge"),
        is_snapshot=False,
        journals=(JournalPosition("serve", 2, 3), JournalPosition("collect", 1_763_712_000, 64)),
        dropped=dropped,
        files=files,
    )


TEXT = """meshtrail/manifest/v1
origin mesh/one/1f2e3d4c
number 1
previous cHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHA=
time 5
size 10
root cnJycnJycnJycnJycnJycnJycnJycnJycnJycnJycnI=
reason tick merge
kind delta
journal collect 1763712000 64
journal serve 2 3
drop segments/000000000000-000000000005.parquet
file segments/000000000005-000000000010.parquet 100 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
file tiles/000000000005-000000000010.tiles 100 AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=
"""


def same(manifest: Manifest) -> Manifest:
    """The manifest with its lines in the order of its text."""
    return replace(
        manifest,
        journals=tuple(sorted(manifest.journals)),
        dropped=tuple(sorted(manifest.dropped)),
        files=tuple(sorted(manifest.files)),
    )


def test_manifest_text_is_the_documented_one_in_sorted_lines() -> None:
    segment, tiles = pair_of(5, 10)
    manifest = manifest_of(tiles, segment, dropped=(segment_file(0, 5),))
    assert format_manifest(manifest) == TEXT
    assert parse_manifest(TEXT) == same(manifest)


@given(manifest=MANIFESTS)
def test_manifest_reads_back_as_it_was_written(manifest: Manifest) -> None:
    assert parse_manifest(format_manifest(manifest)) == same(manifest)


@given(
    at=st.integers(0, len(TEXT)),
    removed=st.integers(0, 30),
    added=st.text(alphabet="\n \t0129abcdfile/-=+\r\x00é４", max_size=12),
)
def test_parser_takes_only_what_the_formatter_writes_and_raises_one_error(
    at: int, removed: int, added: str
) -> None:
    text = TEXT[:at] + added + TEXT[at + removed :]
    try:
        manifest = parse_manifest(text)
    except ManifestSyntaxError:
        return
    assert format_manifest(manifest) == text


@given(text=st.text(max_size=300))
def test_parser_of_any_text_raises_one_error(text: str) -> None:
    with pytest.raises(ManifestSyntaxError):
        parse_manifest(text)


LINES = TEXT.splitlines(keepends=True)


@pytest.mark.parametrize("line", range(len(LINES)))
def test_parser_refuses_each_line_twice(line: int) -> None:
    with pytest.raises(ManifestSyntaxError):
        parse_manifest("".join([*LINES[: line + 1], *LINES[line:]]))


@pytest.mark.parametrize("line", range(9))
def test_parser_refuses_a_head_without_one_of_its_lines(line: int) -> None:
    with pytest.raises(ManifestSyntaxError):
        parse_manifest("".join([*LINES[:line], *LINES[line + 1 :]]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind delta", "kind snapshot"),
        ("kind delta", "kind other"),
        ("reason tick merge", "reason"),
        ("reason tick merge", "reason tick other"),
        ("number 1", "number 01"),
        ("number 1", "number 9223372036854775808"),
        ("size 10", "size -1"),
        ("previous cHBw", "previous "),
        ("root cnJy", "root "),
        ("journal collect", "journal Collect"),
        ("journal collect", "journal serve"),
        ("100 AQEB", "100 "),
        ("file segments", "file blobs"),
        ("meshtrail/manifest/v1", "meshtrail/manifest/v2"),
    ],
)
def test_parser_refuses_what_no_manifest_can_say(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(ManifestSyntaxError):
        parse_manifest(TEXT.replace(old, new, 1))


def test_formatter_refuses_what_the_parser_would_refuse() -> None:
    good = manifest_of(*pair_of(0, 10))
    for bad in (
        replace(good, journals=(JournalPosition("lost+found", 1, 1),)),
        replace(good, journals=(JournalPosition("a", 1, 1), JournalPosition("a", 2, 1))),
        replace(good, reasons=()),
        replace(good, root_hash=b"short"),
        replace(good, previous=b""),
        replace(good, files=(*good.files, *good.files)),
        replace(good, is_snapshot=True, dropped=(segment_file(0, 1),)),
    ):
        with pytest.raises(ManifestSyntaxError):
            format_manifest(bad)
    with pytest.raises(NoteSyntaxError):
        format_manifest(replace(good, number=-1))


@pytest.mark.parametrize("name", ["collect", "a", "serve-2", "a" * 31])
def test_writer_names_are_lower_case_words(name: str) -> None:
    assert is_writer_name(name)


@pytest.mark.parametrize("name", ["", "A", "2a", "-a", "a b", "a\n", "lost+found", "a" * 32, "é"])
def test_other_names_are_no_writers(name: str) -> None:
    assert not is_writer_name(name)


def test_signed_manifest_opens_with_the_key_of_the_log_in_its_place() -> None:
    manifest = manifest_of(*pair_of(0, 10))
    data = sign_manifest(manifest, SIGNER)
    assert open_manifest(data, SIGNER.verifier, origin=ORIGIN, number=1) == same(manifest)
    assert len(manifest_digest(data)) == 32


def test_manifest_of_another_key_is_refused() -> None:
    data = sign_manifest(manifest_of(*pair_of(0, 10)), SIGNER)
    with pytest.raises(SignatureError):
        open_manifest(data, generate_signer(ORIGIN).verifier, origin=ORIGIN, number=1)


def test_manifest_in_the_place_of_another_is_refused() -> None:
    data = sign_manifest(manifest_of(*pair_of(0, 10)), SIGNER)
    with pytest.raises(ManifestError, match="manifest/000000000002 says it is number 1"):
        open_manifest(data, SIGNER.verifier, origin=ORIGIN, number=2)
    with pytest.raises(ManifestError):
        open_manifest(data, SIGNER.verifier, origin="mesh/two/1f2e3d4c", number=1)


@pytest.mark.parametrize("data", [b"", b"\xff", b"no note\n"])
def test_bytes_that_are_no_note_are_refused_by_number(data: bytes) -> None:
    with pytest.raises(ManifestSyntaxError, match="manifest 7: "):
        open_manifest(data, SIGNER.verifier, origin=ORIGIN, number=7)


def live_after(*manifests: Manifest) -> LiveFiles:
    live = LiveFiles()
    for manifest in manifests:
        live.apply(manifest)
    return live


def test_deltas_fold_to_the_live_set_by_range() -> None:
    first, second = pair_of(0, 5), pair_of(5, 10)
    merged = pair_of(0, 10)
    dropped = tuple(file.named for file in (*first, *second))
    live = live_after(
        manifest_of(*second),
        manifest_of(*first),
        manifest_of(*merged, *pair_of(10, 12), dropped=dropped),
    )
    assert [file.named.end for file in live.folder("segments")] == [10, 12]
    assert [file.named.end for file in live.folder("tiles")] == [10, 12]
    live.check_cover(12, number=3)


def test_snapshot_changes_nothing() -> None:
    live = live_after(manifest_of(*pair_of(0, 5)))
    snapshot = replace(manifest_of(*live.by_name.values()), is_snapshot=True)
    assert live_after(snapshot).by_name == live.by_name
    live.apply(snapshot)
    assert set(live.by_name.values()) == set(pair_of(0, 5))


def test_snapshot_of_another_set_is_refused() -> None:
    live = live_after(manifest_of(*pair_of(0, 5)))
    segment, _ = pair_of(0, 5)
    for files in ((segment,), pair_of(0, 6), (*pair_of(0, 5), *pair_of(5, 6))):
        with pytest.raises(ManifestError, match="is a snapshot of another set"):
            live.apply(replace(manifest_of(*files), is_snapshot=True))
    changed = (file_of(segment_file(0, 5), content=2), file_of(tiles_file(0, 5)))
    with pytest.raises(ManifestError, match=r"segments/000000000000-000000000005\.parquet differs"):
        live.apply(replace(manifest_of(*changed), is_snapshot=True))


def test_drop_of_what_is_not_live_and_second_adding_are_refused() -> None:
    with pytest.raises(ManifestError, match="which was not live"):
        live_after(manifest_of(dropped=(segment_file(0, 5),)))
    with pytest.raises(ManifestError, match="which was live already"):
        live_after(manifest_of(*pair_of(0, 5)), manifest_of(*pair_of(0, 5)))


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(1, 10)], "go on at 1, want 0"),
        ([(0, 4), (5, 10)], "go on at 5, want 4"),
        ([(0, 5), (4, 10)], "go on at 4, want 5"),
        ([(0, 9)], "end at 9, the tree has 10"),
        ([(0, 11)], "end at 11, the tree has 10"),
        ([], "end at 0, the tree has 10"),
    ],
)
def test_cover_with_a_hole_or_an_overlap_is_refused(
    ranges: list[tuple[int, int]], message: str
) -> None:
    segments = [file_of(segment_file(start, end)) for start, end in ranges]
    tiles = [file_of(tiles_file(start, end)) for start, end in ranges]
    whole = pair_of(0, 10)
    with pytest.raises(ManifestError, match=f"segments of manifest 3 {message}"):
        LiveFiles([*segments, whole[1]]).check_cover(10, number=3)
    with pytest.raises(ManifestError, match=f"tiles of manifest 3 {message}"):
        LiveFiles([whole[0], *tiles]).check_cover(10, number=3)
    LiveFiles(whole).check_cover(10, number=3)


def test_a_snapshot_of_a_log_that_grew_for_weeks_is_written_and_read() -> None:
    pairs = (
        CommittedFile(named(at << 20, (at + 1) << 20), 240_000_000, bytes(32))
        for at in range(74_000)
        for named in (segment_file, tiles_file)
    )
    manifest = Manifest(
        origin=ORIGIN,
        number=256,
        previous=bytes(32),
        time_ns=UnixNanos(1),
        tree_size=TreeSize(74_000 << 20),
        root_hash=bytes(32),
        reasons=("snapshot",),
        is_snapshot=True,
        journals=(),
        dropped=(),
        files=tuple(pairs),
    )
    data = sign_manifest(manifest, SIGNER)
    assert len(data) > 14_000_000
    read = open_manifest(data, SIGNER.verifier, origin=ORIGIN, number=256)
    assert len(read.files) == 148_000
