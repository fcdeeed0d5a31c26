from __future__ import annotations

import json
from typing import Any

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.delivery.gitlab import OTHER, read_gitlab

AFTER = "ab" * 20
BEFORE = "cd" * 20
PROJECT = {
    "web_url": "https://gitlab.example/shop/policies",
    "git_http_url": "https://gitlab.example/shop/policies.git",
}
PUSH: dict[str, Any] = {
    "object_kind": "push",
    "event_name": "push",
    "before": BEFORE,
    "after": AFTER,
    "ref": "refs/heads/main",
    "checkout_sha": AFTER,
    "user_id": 4,
    "user_name": "Ada Example",
    "user_username": "ada",
    "user_email": "",
    "project": PROJECT,
    "commits": [{"id": AFTER, "title": "Let orders in", "message": "Let orders in\n"}],
    "total_commits_count": 21,
}


def columns(said: dict[str, Any]) -> dict[str, Any]:
    row = read_gitlab(json.dumps(said).encode())
    assert row.problems == []
    return {**row.columns, "detail": json.loads(row.columns["detail"])}


def test_push_leads_from_a_commit_to_who_pushed_it() -> None:
    told = columns(PUSH)
    detail = told.pop("detail")
    assert told == {
        "kind": "commit",
        "actor": "ada",
        "actor_trust": "reported",
        "operation": "push",
        "commit_id": AFTER,
        "commit_ref": "main",
        "repository_url": "https://gitlab.example/shop/policies",
    }
    assert (detail["commits_count"], len(detail["commits"])) == (21, 1)
    assert (detail["user"], detail["user_id"]) == ("Ada Example", 4)


def test_branch_that_is_deleted_has_no_commit() -> None:
    told = columns({**PUSH, "after": "0" * 40, "checkout_sha": None})
    assert (told["operation"], told["commit_id"]) == ("delete", None)
    assert told["detail"]["before"] == BEFORE


def test_tag_names_the_commit_that_it_is_on_and_not_itself() -> None:
    tag = {"object_kind": "tag_push", "ref": "refs/tags/v1", "before": "0" * 40, "after": BEFORE}
    told = columns({**PUSH, **tag})
    assert (told["operation"], told["commit_id"], told["commit_ref"]) == ("create", AFTER, "v1")
    assert told["detail"]["after"] == BEFORE


def test_deployment_names_the_commit_and_who_started_it() -> None:
    told = columns(
        {
            "object_kind": "deployment",
            "status": "success",
            "status_changed_at": "1970-01-01 01:00:01 +0100",
            "deployment_id": 15,
            "environment": "production",
            "project": PROJECT,
            "short_sha": AFTER[:8],
            "user": {"username": "grace", "name": "Grace"},
            "commit_url": f"https://gitlab.example/shop/policies/-/commit/{AFTER}",
            "ref": "main",
        }
    )
    assert (told["kind"], told["operation"], told["time"]) == (
        "deployment",
        "success",
        1_000_000_000,
    )
    assert (told["actor"], told["commit_id"], told["commit_ref"]) == ("grace", AFTER, "main")
    assert told["detail"]["environment"] == "production"


def test_release_names_its_tag_and_commit() -> None:
    told = columns(
        {
            "object_kind": "release",
            "action": "create",
            "tag": "v1",
            "released_at": "1970-01-01 00:00:02 UTC",
            "commit": {"id": AFTER},
            "project": PROJECT,
        }
    )
    assert (told["operation"], told["commit_id"], told["commit_ref"], told["time"]) == (
        "create",
        AFTER,
        "v1",
        2_000_000_000,
    )
    assert (told["actor"], told["actor_trust"]) == (None, None)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"object_kind":"issue"}', OTHER),
        (b'{"object_kind":7}', OTHER),
        (b"{}", OTHER),
        (b"[]", "not a JSON object"),
    ],
)
def test_other_events_say_why_they_are_none(record: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        read_gitlab(record)
    assert caught.value.message == reason


def test_moment_that_is_none_is_noted() -> None:
    said = {"object_kind": "deployment", "status_changed_at": "yesterday UTC", "project": PROJECT}
    row = read_gitlab(json.dumps(said).encode())
    assert (row.columns["time"], row.problems) == (None, ["status_changed_at is no moment"])
