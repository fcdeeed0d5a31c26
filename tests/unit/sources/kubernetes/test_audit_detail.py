from __future__ import annotations

import json
from typing import Any

from meshtrail.model.event import Kind
from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.audit_detail import OBJECT_BYTES_MAX, build_detail
from meshtrail.sources.kubernetes.audit_object import ShownObject


def told(
    event: dict[str, Any],
    *,
    kind: Kind = Kind.CONFIG_CHANGE,
    verb: str = "create",
    shown: ShownObject | None = None,
    query: dict[str, list[str]] | None = None,
) -> Any:  # noqa: ANN401 - any JSON
    found = build_detail(
        Members(event),
        kind=kind,
        resource="things",
        verb=verb,
        shown=shown or ShownObject(),
        query=query or {},
    )
    return None if found is None else json.loads(found)


def test_event_that_says_nothing_more_has_no_detail() -> None:
    assert told({}) is None
    assert told({"user": {"username": "a", "groups": ["b"]}, "annotations": {}}) is None


def test_object_is_told_under_a_name_that_says_when_it_was_so() -> None:
    whole = {"metadata": {"name": "a"}, "spec": {"a": 1}, "status": {"b": 2}}
    kept = {"spec": {"a": 1}}
    assert told({}, shown=ShownObject(whole=whole)) == {"object": kept}
    assert told({}, shown=ShownObject(whole=whole), verb="delete") == {"object_before": kept}
    assert told({}, shown=ShownObject(patch=kept), verb="patch") == {"patch": kept}
    assert told({}, shown=ShownObject(whole=whole), kind=Kind.API_CALL) is None


def test_object_of_the_longest_length_is_told_and_a_longer_one_by_its_length() -> None:
    empty = len('{"spec":""}')
    fits = {"spec": "x" * (OBJECT_BYTES_MAX - empty)}
    assert told({}, shown=ShownObject(whole=fits)) == {"object": fits}
    longer = {"spec": "x" * (OBJECT_BYTES_MAX - empty + 1)}
    told_of = told({}, shown=ShownObject(whole=longer))
    assert told_of == {"object_bytes": OBJECT_BYTES_MAX + 1}


def test_fields_of_a_query_are_told_of_sessions_alone() -> None:
    query = {"command": ["sh"], "fieldManager": ["k"]}
    assert told({}, kind=Kind.EXEC, query=query) == {"command": ["sh"]}
    assert told({}, query=query) is None


def test_a_dry_run_is_told_wherever_it_was_asked_for() -> None:
    assert told({}, query={"dryRun": ["All"]}) == {"dry_run": True}
    options = {"kind": "DeleteOptions", "dryRun": ["All"]}
    assert told({"requestObject": options}, verb="delete") == {"dry_run": True}
    assert told({"requestObject": {**options, "kind": "Pod"}}) is None


def test_long_texts_of_a_request_are_cut() -> None:
    event = {"responseStatus": {"code": 400, "message": "m" * 3000}}
    assert len(told(event)["failure"]["message"]) == 513
    extra = {"extra": {"k": ["v" * 20_000]}}
    assert told({"user": extra})["actor"] == {"extra": "…"}
    session = told({}, kind=Kind.EXEC, query={"command": ["c" * 9000] * 100})
    assert (len(session["command"]), len(session["command"][0])) == (64, 513)
