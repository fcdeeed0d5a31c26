from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources import json_elements
from meshtrail.sources.json_elements import slice_elements

ELEMENTS = [b'{"a" : 1,  "b":"\xc3\xa9, \\"]}"}', b"[ 1 , 2 ]", b'"x\\n"', b"-0.50e1", b"null"]


def cut(body: bytes) -> list[bytes]:
    return slice_elements(body, elements_count_max=100)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"[", b"]"),
        (b" \n[ \t", b"\r\n] "),
        (b'{"items":[', b"]}"),
        (b'{ "kind" : "EventList", "metadata":{"a":[1]}, "items" :\n[ ', b' ] , "z": {} }'),
    ],
)
def test_elements_of_a_list_are_cut_byte_for_byte(before: bytes, after: bytes) -> None:
    assert cut(before + b" ,\n ".join(ELEMENTS) + after) == ELEMENTS
    assert cut(before + after) == []


def test_object_without_the_list_is_its_own_element() -> None:
    body = b'\n{"kind": "Event", "kind": 2, "inner": {"items": [1, 2]}}\r\n'
    assert cut(body) == [body.strip()]
    assert slice_elements(b'{"inner":[1, 2]}', key="inner", elements_count_max=2) == [b"1", b"2"]


def test_list_that_is_null_is_empty_as_go_writes_it() -> None:
    assert cut(b'{"kind":"EventList","items": null }') == []


def test_half_of_a_surrogate_pair_refuses_nobody_and_stays_as_it_was_sent() -> None:
    elements = [b'{"a":"\\ud800"}', b'{"a": "\\\\ud800\\udfff" }', b'["\\ud83d\\ude00"]']
    whole = b'{ "a": {"a":"\\udfff"}, "items": [ ' + b" , ".join(elements) + b"] }"
    assert cut(whole) == elements
    assert cut(b"[" + b",".join(elements) + b"]") == elements
    assert cut(b" " + elements[0] + b"\n") == elements[:1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b'{"items":[1,]}', "not JSON"),
        (b'{"items":[1]}{}', "not JSON"),
        (b'{"items":[1]', "not JSON"),
        (b'{"items":[1}}', "not JSON|no list"),
        (b'{"items":[1]}]', "not JSON"),
        (b"[1}", "not JSON"),
        (b"[1]]", "not JSON"),
        (b"][", "neither"),
        (b'["]', "not JSON"),
        (b'["\\"]', "not JSON"),
        (b"[,]", "not JSON"),
        (b'{"items"}', "not JSON"),
        (b'{"items":[1]:2}', "not JSON"),
        (b'{"items":[1][2]}', "no list"),
        (b'{"items":[1]x}', "no list"),
        (b"\xef\xbb\xbf[]", "neither"),
        (b"7", "neither an object nor a list"),
        (b'"items"', "neither an object nor a list"),
        (b'{"items":{}}', "items is no list"),
        (b'{"items":"[]"}', "items is no list"),
        (b'{"items":[1],"items":[2]}', "stands twice"),
        (b'{"kind":"a","items":[1],"kind":"b"}', "stands twice"),
        (b'{"items":[1],"\\u0069tems":[2]}', "has escapes"),
        (b'{"\\u0069tems":[2]}', "has escapes"),
        (b"[" + b"0," * (1 << 20) + b"0,0]", "1048578 elements"),
        (b'{"items":[]' + b',"a":0' * 1_024 + b"}", "1024 commas"),
        (b"[" + b"0," * 100 + b"0]", "101 elements, at most 100"),
    ],
)
def test_body_that_cannot_be_cut_is_refused_with_its_reason(body: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        cut(body)


@given(
    values=st.lists(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=8)),
    is_bare=st.booleans(),
    indent=st.none() | st.integers(1, 2),
)
def test_elements_say_what_the_list_said(
    values: list[object], *, is_bare: bool, indent: int | None
) -> None:
    whole = values if is_bare else {"kind": "List", "items": values, "last": 1}
    body = json.dumps(whole, ensure_ascii=False, indent=indent).encode()
    found = cut(body)
    assert [json.loads(element) for element in found] == values
    assert all(element in body for element in found)


@pytest.mark.parametrize(
    "element",
    [
        b'"\\ud800"',
        b'"\xff"',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b"[" + b"0," * (1 << 21) + b"0]",
        b'{"items":[1],"items":[2]}',
        b"1e999999",
        b"NaN",
        b'"\\\\"',
        b'"\\\\\\"]}"',
    ],
    ids=["surrogate", "bytes", "deep", "deeper", "wide", "twice", "large", "NaN", "one", "two"],
)
def test_no_element_keeps_the_others_from_being_cut(element: bytes) -> None:
    for body in (b'[{"a":1},%s,{"b":2}]', b'{"items":[{"a":1}, %s ,{"b":2}],"c":0}'):
        assert cut(body % element) == [b'{"a":1}', element, b'{"b":2}']


@given(
    st.lists(st.text('{}[]",:\\x ', min_size=1, max_size=6), min_size=1, max_size=6),
    st.integers(1, 9),
)
def test_what_is_cut_in_parts_is_what_is_cut_at_once(texts: list[str], part_bytes: int) -> None:
    body = json.dumps({"items": texts}).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_elements, "_PART_BYTES", part_bytes)
        assert [json.loads(element) for element in cut(body)] == texts


@given(st.binary(max_size=40) | st.text('{}[]"items:,1 \\u0069', max_size=40).map(str.encode))
def test_any_bytes_are_cut_or_refused(body: bytes) -> None:
    try:
        found = cut(body)
    except InputError:
        return
    # Every byte is in an element, or around the list.
    at = 0
    for element in found:
        at = body.index(element, at) + len(element)
    try:
        plain = json.loads(body)
    except ValueError:
        return
    values = plain.get("items", plain) if isinstance(plain, dict) else plain
    wanted = [plain] if isinstance(values, dict) else values or []
    assert [json.loads(element) for element in found] == wanted


def test_list_of_a_megabyte_is_cut_in_some_milliseconds() -> None:
    event = json.dumps({"kind": "Event", "requestObject": {"spec": ["x" * 20] * 100}}).encode()
    body = b'{"kind":"EventList","items":[' + b",".join([event] * 400) + b"]}"
    begin = time.perf_counter()
    assert slice_elements(body, elements_count_max=400) == [event] * 400
    # 25 ms on the machine this was written on; what is bounded is its being linear.
    assert time.perf_counter() - begin < 0.5
