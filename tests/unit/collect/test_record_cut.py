from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect import record_cut
from meshtrail.collect.pieces import COUNTER_FORMATS, Piece
from meshtrail.collect.record_cut import FRAME_BYTES_MAX, cut_lines, cut_records, keep_whole
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat
from meshtrail.model.record_formats import LINE_FORMATS


@pytest.mark.parametrize(("name", "payload_format"), LINE_FORMATS.items())
def test_each_format_of_lines_is_cut_into_its_own(name: str, payload_format: PayloadFormat) -> None:
    [piece] = cut_records(name, b"first\r\n\nsecond")
    assert piece == (b"first\r\n\nsecond", 2, Framing.LINES, payload_format)


@given(st.lists(st.text("ab\n", max_size=30), max_size=20), st.integers(1, 20))
def test_frames_are_all_of_a_body_and_never_end_inside_a_line(texts: list[str], most: int) -> None:
    body = "\n".join(texts).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_cut, "FRAME_BYTES_MAX", most)
        pieces = cut_lines(body, PayloadFormat.HUBBLE)
    lines = [line for piece in pieces for line in piece.data.split(b"\n") if line]
    assert lines == [line for line in body.split(b"\n") if line]
    assert sum(piece.records_count for piece in pieces) == len(lines)
    # One that is larger is a single line.
    assert all(
        len(piece.data) <= most or piece.data.rstrip(b"\n").count(b"\n") == 0 for piece in pieces
    )


def test_frames_of_a_long_body_are_small() -> None:
    pieces = cut_lines(b"x" * 99 + b"\n" + (b"y" * 99 + b"\n") * 20_000, PayloadFormat.ZTUNNEL)
    assert sum(piece.records_count for piece in pieces) == 20_001
    assert max(len(piece.data) for piece in pieces) <= FRAME_BYTES_MAX


def test_a_body_of_nothing_is_no_piece() -> None:
    assert cut_lines(b"\n\n", PayloadFormat.ZTUNNEL) == []


def test_what_cannot_be_cut_is_kept_whole() -> None:
    assert keep_whole(b"{") == (b"{", 1, Framing.WHOLE, PayloadFormat.BODY_FRAME)


@pytest.mark.parametrize("payload_format", PayloadFormat)
def test_counters_alone_are_no_records(payload_format: PayloadFormat) -> None:
    piece = Piece(b"", 1, Framing.WHOLE, payload_format)
    assert piece.is_counters == (payload_format in COUNTER_FORMATS.values())


def test_a_git_log_is_a_frame_for_each_commit() -> None:
    commits = [b"commit %s\ntree x\n\n    text\n" % (letter * 40) for letter in (b"a", b"b")]
    pieces = cut_records("git-log", b"\0".join(commits))
    assert pieces == [(commit, 1, Framing.WHOLE, PayloadFormat.GIT_LOG) for commit in commits]
    with pytest.raises(InputError):
        cut_records("git-log", b"lines\nof something else\n")
