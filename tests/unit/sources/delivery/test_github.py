from __future__ import annotations

import json
from typing import Any

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.delivery.github import OTHER, PING, read_github

AFTER = "ab" * 20
BEFORE = "cd" * 20
REPOSITORY = {
    "full_name": "shop/policies",
    "clone_url": "https://github.example/shop/policies.git",
    "html_url": "https://github.example/shop/policies",
    "pushed_at": 1_795_334_400,
}
PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "before": BEFORE,
    "after": AFTER,
    "created": False,
    "deleted": False,
    "forced": False,
    "repository": REPOSITORY,
    "pusher": {"name": "ada", "email": "ada@shop.example"},
    "sender": {"login": "ada"},
    "head_commit": {"id": AFTER, "timestamp": "2026-11-22T07:59:00Z"},
    "commits": [{"id": AFTER, "message": "Let orders in", "modified": ["policy.yaml"]}],
}


def columns(said: dict[str, Any]) -> dict[str, Any]:
    row = read_github(json.dumps(said).encode())
    assert row.problems == []
    return {**row.columns, "detail": json.loads(row.columns["detail"])}


def test_push_leads_from_a_commit_to_who_pushed_it() -> None:
    told = columns(PUSH)
    detail = told.pop("detail")
    assert told == {
        "kind": "commit",
        "time": 1_795_334_400_000_000_000,
        "actor": "ada",
        "actor_trust": "reported",
        "operation": "push",
        "commit_id": AFTER,
        "commit_ref": "main",
        "repository_url": "https://github.example/shop/policies",
    }
    assert (detail["before"], detail["ref"]) == (BEFORE, "refs/heads/main")
    assert detail["pusher"] == "ada <ada@shop.example>"
    assert detail["commits_count"] == 1
    assert detail["commits"][0]["paths"] == [{"change": "M", "path": "policy.yaml"}]


@pytest.mark.parametrize(
    ("change", "operation", "commit"),
    [
        ({"created": True, "before": "0" * 40}, "create", AFTER),
        ({"deleted": True, "after": "0" * 40}, "delete", None),
        ({"forced": True}, "force_push", AFTER),
    ],
)
def test_push_says_what_it_did_to_the_branch(
    change: dict[str, Any], operation: str, commit: str | None
) -> None:
    told = columns({**PUSH, **change})
    assert (told["operation"], told["commit_id"]) == (operation, commit)


@pytest.mark.parametrize("pushed_at", [None, "2026-11-22T08:00:00Z", -1, 10**18, True])
def test_push_at_an_unknown_time_has_none(pushed_at: object) -> None:
    said = {**PUSH, "repository": {**REPOSITORY, "pushed_at": pushed_at}}
    assert columns(said)["time"] is None


def test_push_of_nobody_has_no_actor_and_no_trust_in_one() -> None:
    told = columns({name: PUSH[name] for name in ("ref", "after", "repository")})
    assert (told["actor"], told["actor_trust"]) == (None, None)


def test_release_names_its_tag_and_who_made_it() -> None:
    told = columns(
        {
            "action": "published",
            "release": {
                "tag_name": "v2.14.1",
                "target_commitish": AFTER,
                "published_at": "1970-01-01T00:00:01Z",
                "author": {"login": "bot"},
            },
            "repository": REPOSITORY,
            "sender": {"login": "grace"},
        }
    )
    assert (told["kind"], told["operation"], told["time"]) == (
        "deployment",
        "published",
        1_000_000_000,
    )
    assert (told["actor"], told["commit_id"], told["commit_ref"]) == ("grace", AFTER, "v2.14.1")


def test_deployment_names_the_commit_and_where_it_went() -> None:
    deployment = {"id": 7, "sha": AFTER, "ref": "main", "environment": "production"}
    status = {"state": "success", "created_at": "1970-01-01T00:00:02Z"}
    told = columns({"deployment": deployment, "deployment_status": status})
    assert (told["kind"], told["operation"], told["time"]) == (
        "deployment",
        "success",
        2_000_000_000,
    )
    assert (told["commit_id"], told["commit_ref"]) == (AFTER, "main")
    assert told["detail"] == {"event": "deployment", "environment": "production", "deployment": 7}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"zen":"Keep it simple.","hook_id":1,"hook":{}}', PING),
        (b'{"action":"opened","pull_request":{}}', OTHER),
        (b'{"after":"x"}', OTHER),
        (b"{}", OTHER),
        (b"payload=%7B%7D", "not JSON"),
    ],
)
def test_other_events_say_why_they_are_none(record: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read_github(record)
    assert caught.value.message == reason


def test_members_of_other_types_are_noted() -> None:
    row = read_github(json.dumps({**PUSH, "pusher": 7, "commits": {}}).encode())
    assert row.columns["actor"] == "ada"
    assert sorted(row.problems) == ["commits is no list", "pusher is no object"]
