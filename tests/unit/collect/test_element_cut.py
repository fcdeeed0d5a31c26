from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect.element_cut import cut_elements, holds_lines
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat

AUDIT = PayloadFormat.KUBERNETES_AUDIT_JSON


def data_of(body: bytes, *, most: int = 100) -> list[bytes]:
    return [piece.data for piece in cut_elements(body, AUDIT, elements_count_max=most)]


def test_elements_of_a_list_are_lines_of_one_frame_byte_for_byte() -> None:
    body = b'{"kind":"EventList","items":[{"a": 1},\t{"b":"\\u00e9"} ]}\n'
    (piece,) = cut_elements(body, AUDIT, elements_count_max=2)
    assert piece == (b'{"a": 1}\n{"b":"\\u00e9"}', 2, Framing.LINES, AUDIT)


def test_elements_over_several_lines_are_frames_of_their_own() -> None:
    pieces = cut_elements(b'[{\n"a":1},{"b":2}]', AUDIT, elements_count_max=2)
    assert pieces == [
        (b'{\n"a":1}', 1, Framing.WHOLE, AUDIT),
        (b'{"b":2}', 1, Framing.WHOLE, AUDIT),
    ]


def test_an_object_without_a_list_is_its_only_element() -> None:
    assert data_of(b' {"auditID":"x"}\r\n') == [b'{"auditID":"x"}']


def test_an_empty_list_is_no_piece() -> None:
    assert data_of(b'{"items":[]}') == data_of(b"[]") == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"items":[{}', b'{"items":3}', b"7", b'{"a":1}{}'])
def test_what_is_no_such_document_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        data_of(body)


def test_more_elements_than_may_be_are_refused() -> None:
    with pytest.raises(InputError, match="3 elements"):
        data_of(b"[1,2,3]", most=2)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a":1}\n{"b":2}\n', True),
        (b'\n\n{"a":1}\r\n{"b":2}', True),
        (b'{"a":1}\nnot JSON', True),
        (b'{"a":1}\n', False),
        (b'{"items":[{"a":1},{"b":2}]}\n \n', False),
        (b'{\n"items":[]}', False),
        (b"[{},\n{}]", False),
        (b"", False),
        (b"\n", False),
        (b"[" * 100_000 + b"\n{}", False),
    ],
)
def test_lines_are_told_from_a_document(body: bytes, *, lines: bool) -> None:
    assert holds_lines(body) is lines


_VALUES = st.recursive(
    st.none() | st.integers() | st.text("ab\n\u00e9", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("k", max_size=2), inner),
    max_leaves=5,
)


@given(st.lists(_VALUES, max_size=5), st.sampled_from([None, 1]))
def test_any_list_comes_back_as_its_elements(values: list[object], indent: int | None) -> None:
    body = json.dumps({"items": values}, indent=indent).encode()
    pieces = cut_elements(body, AUDIT, elements_count_max=5)
    found = [
        json.loads(one)
        for piece in pieces
        for one in ([piece.data] if piece.framing is Framing.WHOLE else piece.data.split(b"\n"))
    ]
    assert found == values
    assert sum(piece.records_count for piece in pieces) == len(values)


def test_a_body_as_large_as_may_be_is_cut_in_time() -> None:
    body = b"[" + b",".join([b'{"a":"%s"}' % (b"x" * 200)] * 70_000) + b"]"
    begun = time.perf_counter()
    assert len(data_of(body, most=70_000)) > 1
    assert time.perf_counter() - begun < 5
