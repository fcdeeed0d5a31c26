from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import LayoutError, ManifestSyntaxError
from meshtrail.store.durable import Disk
from meshtrail.store.layout import (
    Format,
    Layout,
    create_layout,
    parse_format,
    parse_range_file,
    read_format,
    segment_file,
    tiles_file,
)
from tests.faults.fake_disk import TracingDisk

ORIGIN = "mesh/one/1f2e3d4c"
KEY = "mesh/one/1f2e3d4c+fb6f71fd+ATNSKsFEVSpHBLvpPWAQDJN6Mv2lTBAQYv1EYVuRI3hz"
DESCRIBED = Format(ORIGIN, KEY)
TEXT = f'layout = 2\norigin = "{ORIGIN}"\nkey = "{KEY}"\n'
SIZES = st.integers(0, 10**12 - 1)


def test_new_directory_reads_back_what_it_was_made_with(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "deep" / "data")
    create_layout(Disk(), layout, DESCRIBED)
    assert read_format(layout) == DESCRIBED
    assert layout.format_file.read_text() == TEXT
    assert all(folder.is_dir() for folder in layout.folders())


def test_format_file_comes_last_so_a_half_made_directory_is_made_again(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "deep" / "data")
    disk = TracingDisk(tmp_path)
    create_layout(disk, layout, DESCRIBED)
    assert disk.calls[:4] == ["mkdir deep", "fsync .", "mkdir deep/data", "fsync deep"]
    assert disk.calls[-4:] == [
        "write deep/data/format.toml.tmp",
        "fsync deep/data/format.toml.tmp",
        "rename deep/data/format.toml",
        "fsync deep/data",
    ]
    layout.format_file.unlink()
    create_layout(Disk(), layout, DESCRIBED)
    assert read_format(layout) == DESCRIBED


@pytest.mark.parametrize("origin", ['a"b', "a\\b", "a\nb", "", "a\x7fb"])
def test_origin_that_cannot_stand_in_the_format_file_is_refused(
    origin: str, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "data")
    with pytest.raises(LayoutError):
        create_layout(Disk(), layout, Format(origin, KEY))
    assert not layout.root.exists()


def test_directory_without_format_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"not a meshtrail data directory.*meshtrail up"):
        read_format(Layout(tmp_path))


@pytest.mark.parametrize(("layout", "other"), [(1, "an older"), (3, "a newer")])
def test_another_layout_is_refused_by_its_number_whatever_else_it_says(
    layout: int, other: str, tmp_path: Path
) -> None:
    (tmp_path / "format.toml").write_text(f'layout = {layout}\nstorage = "s3"\n')
    told = f"says layout {layout}.*use {other} meshtrail"
    with pytest.raises(LayoutError, match=told) as caught:
        read_format(Layout(tmp_path))
    assert (caught.value.want, caught.value.got) == (2, layout)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        TEXT.encode() + b"\n",
        TEXT.encode()[:-1],
        TEXT.replace(" = ", "=").encode(),
        TEXT.replace('"', "'").encode(),
        TEXT.replace("layout = 2", "layout = 01").encode(),
        TEXT.replace("layout = 2", "layout = 0").encode(),
        TEXT.replace("layout = 2", "layout = true").encode(),
        TEXT.replace("\n", "\r\n").encode(),
        b"a = " + b"[" * 100_000,
        b"layout = " + b"9" * 5_000 + b"\n",
    ],
    ids=range(12),
)
def test_format_file_in_another_form_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "format.toml").write_bytes(data)
    with pytest.raises(LayoutError):
        read_format(Layout(tmp_path))


def test_format_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format.toml").mkdir()
    with pytest.raises(LayoutError):
        read_format(Layout(tmp_path))


@given(text=st.text(max_size=200) | st.just(TEXT).flatmap(lambda t: st.text().map(t.__add__)))
def test_format_parser_takes_only_what_the_formatter_writes(text: str) -> None:
    try:
        described = parse_format(text, Path("format.toml"))
    except LayoutError:
        return
    assert described.format() == text


@given(start=SIZES, end=SIZES)
def test_range_name_reads_back_and_no_range_is_empty(start: int, end: int) -> None:
    for named in (segment_file(start, end), tiles_file(start, end)):
        if start < end:
            assert parse_range_file(named.path) == named
        else:
            with pytest.raises(ManifestSyntaxError):
                parse_range_file(named.path)


def test_range_names_are_the_documented_ones() -> None:
    assert segment_file(0, 4096).path == "segments/000000000000-000000004096.parquet"
    assert tiles_file(4096, 10**12 - 1).path == "tiles/000000004096-999999999999.tiles"


@pytest.mark.parametrize(
    "path",
    [
        "segments/000000000000-000000000001.tiles",
        "tiles/000000000000-000000000001.parquet",
        "blobs/000000000000-000000000001.parquet",
        "segments/0-1.parquet",
        "segments/000000000000-000000000001.parquet\n",
        "segments/000000000000-00000000000１.parquet",
        "../segments/000000000000-000000000001.parquet",
        "/segments/000000000000-000000000001.parquet",
        "segments/000000000000-000000000001.parquet.tmp",
        "segments/000000000002-000000000001.parquet",
    ],
)
def test_other_spelling_of_a_range_name_is_refused(path: str) -> None:
    with pytest.raises(ManifestSyntaxError):
        parse_range_file(path)


@given(path=st.text(alphabet="segmntil/0123456789-.parqu", max_size=50))
def test_range_parser_takes_only_what_the_formatter_writes(path: str) -> None:
    with suppress(ManifestSyntaxError):
        assert parse_range_file(path).path == path


def test_blob_is_named_by_its_digest_in_hex() -> None:
    assert (
        Layout(Path("data")).blob(bytes(range(32))) == Path("data/blobs") / bytes(range(32)).hex()
    )
