from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.sources.kubernetes.security_change import (
    Change,
    SecurityChange,
    added_or_removed,
    annotation_of,
    compare_allowing,
    compare_levels,
    compare_listed,
    label_of,
    on_coming_and_going,
    on_touch,
    rules_at,
)

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

W, N, U = SecurityChange.WIDENED, SecurityChange.NARROWED, SecurityChange.UNCLEAR


def change(before: Json | None, after: Json | None, *, knows: bool = True) -> Change:
    return Change(before=before, after=after, knows_before=knows)


def levels(before: int | None, after: int | None, *, knows: bool = True) -> set[SecurityChange]:
    said = [None if level is None else {"level": level} for level in (before, after)]
    return compare_levels(
        change(said[0], said[1] or {}, knows=knows),
        lambda value: level if isinstance(level := value.get("level"), int) else None,
        top=2,
        down=N,
        up=W,
    )


def test_levels_go_down_and_up_and_the_highest_is_up_where_nothing_is_known() -> None:
    assert levels(2, 1) == levels(1, 0) == {N}
    assert levels(0, 1) == levels(1, 2) == {W}
    assert levels(1, 1) == levels(None, None) == set()
    assert levels(None, 2) == levels(None, 2, knows=False) == {W}
    assert levels(None, 1) == levels(None, 0, knows=False) == {N}
    assert levels(2, None) == {N}
    assert levels(1, None) == {U}


def rules(*found: object) -> Json:
    return {"rules": list(found)}


def test_first_rules_that_allow_shut_out_all_other_traffic() -> None:
    read = rules_at("rules")
    assert compare_allowing(change(None, rules()), read) == {N}
    assert compare_allowing(change(None, rules({})), read) == {W}
    assert compare_allowing(change(None, rules({"a": 1})), read) == {U}
    assert compare_allowing(change(rules(), None), read) == {W}
    assert compare_allowing(change(rules({}), None), read) == {N}
    assert compare_allowing(change(rules({"a": 1}), None), read) == {U}
    assert compare_allowing(change(None, None, knows=False), read) == {U}
    assert compare_allowing(change(rules(1), rules(1, 2)), read) == {W}


def test_lists_that_only_add_grow_and_shrink() -> None:
    def found(before: Json | None, after: Json | None, *, knows: bool = True) -> object:
        of = change(before, after, knows=knows)
        return compare_listed(of, rules_at("rules"), more=W, less=N)

    assert found(None, rules(1)) == found(rules(1), rules(1, 2)) == {W}
    assert found(rules(1), None) == found(rules(1, 2), rules(2)) == {N}
    assert found(rules("a"), rules("b")) == found(None, rules(1), knows=False) == {U}
    assert found(rules(1), rules(1)) == set()
    assert found(None, None, knows=False) == {N}


def test_parts_differ_where_they_are_other_or_where_nobody_knows_what_they_were() -> None:
    old: Json = {"spec": {"a": 1, "b": 2}}
    new: Json = {"spec": {"a": 1, "b": 3}}
    assert change(old, new).differs("spec.a", "spec.b")
    assert not change(old, new).differs("spec.a")
    assert change(None, new, knows=False).differs("spec.a")
    assert not change(None, new, knows=False).differs("spec.c")
    assert change(None, {"spec": {"a": None}}, knows=False).differs("spec.a")


def test_what_is_about_an_object_is_not_what_it_is_for() -> None:
    about: Json = {"kind": "K", "metadata": {"labels": {"a": "b"}}, "status": {}}
    assert not change(None, about, knows=False).touches_spec
    assert change(None, about | {"spec": {}}, knows=False).touches_spec
    assert not change({"spec": {}}, about | {"spec": {}}).touches_spec
    assert change({"spec": {"a": 1}}, about).touches_spec
    assert change(None, about).touches_spec
    assert change(about, None).touches_spec


def test_rules_for_coming_and_going_tell_one_from_the_other() -> None:
    rule = on_coming_and_going(more=W, less=N)
    assert rule(change(None, {})) == {W}
    assert rule(change({}, None)) == rule(change(None, None, knows=False)) == {N}
    assert rule(change({"spec": 1}, {"spec": 2})) == {U}
    assert rule(change({"spec": 1}, {"spec": 1})) == set()
    assert on_touch(W)(change({"spec": 1}, {"spec": 2})) == {W}
    assert added_or_removed(change(None, {})) == {SecurityChange.POLICY_ADDED}
    assert added_or_removed(change(None, None, knows=False)) == {SecurityChange.POLICY_REMOVED}
    assert added_or_removed(change({}, {})) == set()


def test_labels_and_annotations_are_read_where_they_are_texts() -> None:
    value: Json = {"metadata": {"labels": {"a": "x", "b": 1}, "annotations": {"c": "y"}}}
    assert (label_of(value, "a"), label_of(value, "b"), label_of(None, "a")) == ("x", None, None)
    assert annotation_of(value, "c") == "y"
