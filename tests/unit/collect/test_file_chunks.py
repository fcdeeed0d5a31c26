from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect import file_chunks
from meshtrail.collect.file_chunks import open_records, read_document, read_line_chunks
from meshtrail.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@given(st.text("ab\n", max_size=60).map(str.encode), st.integers(1, 8))
def test_chunks_are_all_of_a_file_and_end_with_a_line(data: bytes, chunk_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_chunks, "CHUNK_BYTES", chunk_bytes)
        chunks = list(read_line_chunks(io.BytesIO(data), name="x"))
    assert b"".join(chunks) == data
    assert all(chunk.endswith(b"\n") for chunk in chunks[:-1])
    assert all(chunks)


def test_a_line_that_nobody_writes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_chunks, "LINE_BYTES_MAX", 8)
    monkeypatch.setattr(file_chunks, "CHUNK_BYTES", 4)
    chunks = read_line_chunks(io.BytesIO(b"ok\n" + b"x" * 20), name="x.log")
    assert next(chunks) == b"ok\n"
    with pytest.raises(InputError, match=r"x\.log: a line of over 8 bytes"):
        next(chunks)


def test_a_packed_file_is_unpacked(tmp_path: Path) -> None:
    for name, data in (("plain", b"a\nb"), ("packed", gzip.compress(b"a\nb"))):
        (tmp_path / name).write_bytes(data)
        with open_records(tmp_path / name) as file:
            assert list(read_line_chunks(file, name=name)) == [b"a\n", b"b"], name


def test_a_packed_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"a" * 99)[:-9])
    with (
        open_records(tmp_path / "x.gz") as file,
        pytest.raises(InputError, match="x does not read back"),
    ):
        list(read_line_chunks(file, name="x"))


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="missing: No such file"),
        open_records(tmp_path / "missing"),
    ):
        pass


def test_a_document_is_read_as_a_whole_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_document(io.BytesIO(b"{}\n"), name="x") == b"{}\n"
    monkeypatch.setattr(file_chunks, "DOCUMENT_BYTES_MAX", 3)
    assert read_document(io.BytesIO(b"{}\n"), name="x") == b"{}\n"
    with pytest.raises(InputError, match="x: a document of over 3 bytes"):
        read_document(io.BytesIO(b"{}\n\n"), name="x")
