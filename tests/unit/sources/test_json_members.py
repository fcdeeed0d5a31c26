from __future__ import annotations

import time
from typing import Any

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.json_members import (
    LIST_ITEMS_MAX,
    TEXT_CHARACTERS_MAX,
    TOO_MUCH,
    Members,
    compact_json,
    read_object,
)

LONG = "x" * (TEXT_CHARACTERS_MAX + 1)


def test_object_is_read_and_of_equal_keys_the_last_counts() -> None:
    assert read_object(b' {"a": 1, "a": {"b": [2]}}\r') == {"a": {"b": [2]}}
    assert compact_json({"a": [1, "ü"]}) == '{"a":[1,"ü"]}'


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{}{}", "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":1e999}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b"null", "not a JSON object"),
        (b"[{}]", "not a JSON object"),
        (b"[" * 101, TOO_MUCH),
        (b'{"a":[' + b"0," * 1_000_000 + b"0]}", TOO_MUCH),
    ],
)
def test_what_is_no_object_is_refused_for_one_of_few_reasons(record: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read_object(record)
    assert caught.value.message == reason


def test_half_of_a_surrogate_pair_hides_nothing_but_itself() -> None:
    assert read_object(b'{"a":"x\\ud800","b":1}') == {"a": "x\ufffd", "b": 1}


def test_refusing_deep_nesting_takes_no_stack_and_little_time() -> None:
    began = time.process_time()
    with pytest.raises(InputError):
        read_object(b'{"a":' * 2_000_000)
    assert time.process_time() - began < 5


SAID: dict[str, Any] = {
    "text": "a",
    "empty": "",
    "null": None,
    "number": 7,
    "true": True,
    "when": "1970-01-01T00:00:01Z",
    "never": "0001-01-01T00:00:00Z",
    "long": LONG,
    "big": 2**63,
    "in": {"text": "b", "list": ["c", 7, LONG]},
    "objects": [{"text": "d"}, 7],
    "pairs": {"z": "1", "a": "2", "n": 3},
}


def test_members_give_what_is_there() -> None:
    said = Members(SAID)
    assert (said.text("text"), said.text("in", "text")) == ("a", "b")
    assert (said.integer("number"), said.moment("when")) == (7, 1_000_000_000)
    assert said.is_true("true")
    assert not said.is_true("number")
    assert said.inner("in").text("text") == "b"
    assert said.has("number")
    assert said.problems == []


def test_members_that_are_not_there_are_no_problem() -> None:
    said = Members(SAID)
    absent = ("empty", "null", "other")
    assert [said.text(name) for name in absent] == [None] * 3
    assert said.text("text", "text") is None
    assert (said.integer("null"), said.moment("never")) == (None, None)
    assert (said.objects("null"), said.texts("other"), said.pairs("null")) == ([], [], {})
    assert not said.has("null")
    assert said.problems == []


def test_members_of_other_types_are_absent_and_noted_once() -> None:
    said = Members(SAID)
    assert [said.text("number"), said.text("number"), said.text("long")] == [None] * 3
    assert [said.integer("text"), said.integer("true"), said.integer("big")] == [None] * 3
    assert said.moment("text") is None
    assert said.inner("number").text("a") is None
    assert said.texts("text") == []
    assert said.problems == [
        "number is no text",
        "long is too long",
        "text is no whole number",
        "true is no whole number",
        "big is no whole number",
        "text is no moment",
        "number is no object",
        "text is no list",
    ]


def test_lists_and_pairs_keep_what_fits() -> None:
    said = Members(SAID)
    assert said.texts("in", "list") == ["c"]
    assert [one.text("text") for one in said.objects("objects")] == ["d"]
    assert list(said.pairs("pairs").items()) == [("a", "2"), ("z", "1")]
    assert said.problems == [
        "in.list holds something else than it should",
        "objects holds something else than it should",
        "pairs holds something else than it should",
    ]


def test_lists_and_pairs_are_looked_at_so_far() -> None:
    many = {"list": ["a"] * 2000, "pairs": {f"{n}": "b" for n in range(2000)}}
    said = Members(many)
    assert len(said.texts("list")) == len(said.pairs("pairs")) == LIST_ITEMS_MAX
    assert said.problems == ["list has too many elements", "pairs has too many members"]


def test_problems_of_inner_objects_are_told_with_their_place() -> None:
    said = Members({"spec": {"containers": [{"image": 7}]}})
    assert [one.text("image") for one in said.inner("spec").objects("containers")] == [None]
    assert said.problems == ["spec.containers[].image is no text"]
