from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.sources.kubernetes.match_direction import Direction, compare_rules

A: Any = {"from": [{"source": {"principals": ["a"]}}]}


def rule(**said: Any) -> list[Any]:
    return [said]


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ([], [A]),
        ([A], [A, {"to": []}]),
        ([A], [{}]),
        (rule(methods=["GET"]), rule(methods=["GET", "POST"])),
        (rule(methods=["GET"]), rule(methods=["*"])),
        (rule(paths=["/a/b"]), rule(paths=["/a/*"])),
        (rule(hosts=["a.b.c"]), rule(hosts=["*.b.c"])),
        (rule(paths=["/a/b", "/a/c"]), rule(paths=["/a/*"])),
        (rule(notPaths=["/a", "/b"]), rule(notPaths=["/a"])),
        (rule(notPaths=["/a/*"]), rule(notPaths=["/a/b"])),
        (rule(notPaths=["/a"]), rule()),
        (rule(a=["x"], b=["y"]), rule(a=["x"])),
        (rule(a=["x"], b=["y"]), rule(a=["x", "z"], b=["y", "w"])),
        (rule(ipBlocks=["10.1.0.0/16"]), rule(ipBlocks=["10.0.0.0/8"])),
        (rule(ipBlock={"cidr": "::/8", "except": ["::1"]}), rule(ipBlock={"cidr": "::/8"})),
        (rule(when=[{"key": "a"}, {"key": "b"}]), rule(when=[{"key": "a"}])),
        (
            rule(podSelector={"matchExpressions": [1, 2]}),
            rule(podSelector={"matchExpressions": [1]}),
        ),
        (rule(podSelector={"matchLabels": {"a": "b"}}), rule(podSelector={})),
        (rule(fromEndpoints=[{"a": "b"}]), rule()),
        (rule(fromEndpoints=["a"], toPorts=["1"]), rule(fromEndpoints=["a"])),
    ],
)
def test_rules_that_match_more_are_wider_and_the_other_way_round_narrower(
    narrow: list[object], wide: list[object]
) -> None:
    assert compare_rules(narrow, wide) is Direction.WIDER
    assert compare_rules(wide, narrow) is Direction.NARROWER


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rule(methods=["GET"]), rule(methods=["POST"])),
        (rule(a=["x"]), rule(b=["x"])),
        (rule(a=["x"], b=["y", "z"]), rule(a=["x", "w"], b=["y"])),
        (rule(a=[]), rule()),
        (rule(a=[]), rule(a=["x"])),
        (rule(ports=[{"port": 80}]), rule(ports=[{"port": 80, "endPort": 90}])),
        (rule(podSelector={"a": 1}), rule(podSelector={"a": 1}, namespaceSelector={})),
        (rule(fromEndpoints=["a"]), rule(fromEndpoints=["a"], fromCIDR=["b"])),
        (rule(when=[{"values": ["a"]}]), rule(when=[{"values": ["a", "b"]}])),
        (rule(ipBlocks=["10.0.0.0/8"]), rule(ipBlocks=["::/0"])),
        (rule(a=1), rule(a=True)),
        (rule(a="x"), rule(a=["x"])),
    ],
)
def test_rules_that_match_other_things_are_unclear_both_ways(
    before: list[object], after: list[object]
) -> None:
    assert compare_rules(before, after) is Direction.UNCLEAR
    assert compare_rules(after, before) is Direction.UNCLEAR


def test_order_and_repeats_of_rules_change_nothing() -> None:
    assert compare_rules([A, {"b": 1}, A], [{"b": 1}, A]) is Direction.EQUAL
    assert compare_rules(rule(a=["x", "y"]), rule(a=["y", "x"])) is Direction.EQUAL


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "*", "a", "a*", "*a", "::/0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["not", "notA", "except", "when", "fromA", "toB", "endPort"]), inner
        )
    ),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_turning_a_change_round_turns_its_direction_round(
    before: list[object], after: list[object]
) -> None:
    there, back = compare_rules(before, after), compare_rules(after, before)
    assert {there, back} in (
        {Direction.EQUAL},
        {Direction.UNCLEAR},
        {Direction.WIDER, Direction.NARROWER},
    )


def nested(depth: int, leaf: str) -> object:
    value: object = leaf
    for _ in range(depth):
        value = [{"a": value, "b": index} for index in range(8)]
    return value


def test_comparing_what_is_made_to_take_long_gives_up() -> None:
    before, after = (nested(5, leaf) for leaf in "xy")
    begin = time.perf_counter()
    assert isinstance(before, list)
    assert isinstance(after, list)
    assert compare_rules(before, after) is Direction.UNCLEAR
    assert time.perf_counter() - begin < 10
