"""Webhooks of GitHub: what was pushed, released and deployed, and by whom.

A body does not name its event, a header does; what it is shows in what it holds.

Source: GitHub documentation, "Webhook events and payloads".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.model.event import Kind, Trust
from meshtrail.sources.delivery.pushed_commits import list_commits, name_person
from meshtrail.sources.delivery.repositories import read_ref, read_repository
from meshtrail.sources.digests import read_commit
from meshtrail.sources.json_members import Members, compact_json, read_object
from meshtrail.sources.record_rows import RecordRow

if TYPE_CHECKING:
    from collections.abc import Callable

PING: Final = "a ping: GitHub tries the webhook"
OTHER: Final = "an event of GitHub that tells of no push, release or deployment"
_SECONDS_MAX: Final = 9_223_372_036
_NANOS: Final = 1_000_000_000


def read_github(record: bytes) -> RecordRow:
    """The body of a webhook as an event.

    Raises:
        InputError: it is no JSON object, or tells of something else.
    """
    said = Members(read_object(record))
    if said.has("zen") and said.has("hook"):
        raise InputError(PING)
    read = next((read for name, read in _EVENTS.items() if said.has(name)), None)
    if read is None or (read is _read_push and not said.has("ref")):
        raise InputError(OTHER)
    columns = {
        **read(said),
        "actor_trust": Trust.REPORTED.value,
        "repository_url": read_repository(
            said.text("repository", "clone_url") or said.text("repository", "html_url")
        ),
    }
    if columns["actor"] is None:
        columns["actor_trust"] = None
    detail = {name: value for name, value in columns["detail"].items() if value is not None}
    columns["detail"] = compact_json(detail)
    return RecordRow(columns, said.problems)


def _read_push(said: Members) -> dict[str, Any]:
    pushed_s = said.value("repository", "pushed_at")
    is_known = type(pushed_s) is int and 0 <= pushed_s < _SECONDS_MAX
    operation = "push"
    for name, verb in {"deleted": "delete", "created": "create", "forced": "force_push"}.items():
        if said.is_true(name):
            operation = verb
            break
    commits = list_commits(said)
    return {
        "kind": Kind.COMMIT.value,
        "time": pushed_s * _NANOS if is_known else None,
        "actor": said.text("pusher", "name") or said.text("sender", "login"),
        "operation": operation,
        "commit_id": read_commit(said.text("after")),
        "commit_ref": read_ref(said.text("ref")),
        "detail": {
            "before": read_commit(said.text("before")),
            "ref": said.text("ref"),
            "forced": said.is_true("forced") or None,
            "pusher": name_person(said.inner("pusher")),
            "sender": said.text("sender", "login"),
            "commits_count": len(said.objects("commits")),
            "commits": commits,
        },
    }


def _read_release(said: Members) -> dict[str, Any]:
    release = said.inner("release")
    return {
        "kind": Kind.DEPLOYMENT.value,
        "time": release.moment("published_at") or release.moment("created_at"),
        "actor": said.text("sender", "login") or release.text("author", "login"),
        "operation": said.text("action"),
        "commit_id": read_commit(release.text("target_commitish")),
        "commit_ref": release.text("tag_name"),
        "detail": {
            "event": "release",
            "name": release.text("name"),
            "target": release.text("target_commitish"),
        },
    }


def _read_deployment(said: Members) -> dict[str, Any]:
    deployment, status = said.inner("deployment"), said.inner("deployment_status")
    return {
        "kind": Kind.DEPLOYMENT.value,
        "time": status.moment("created_at") or deployment.moment("created_at"),
        "actor": said.text("sender", "login") or deployment.text("creator", "login"),
        "operation": status.text("state") or said.text("action"),
        "commit_id": read_commit(deployment.text("sha")),
        "commit_ref": read_ref(deployment.text("ref")),
        "detail": {
            "event": "deployment",
            "environment": deployment.text("environment"),
            "task": deployment.text("task"),
            "creator": deployment.text("creator", "login"),
            "deployment": deployment.integer("id"),
        },
    }


_EVENTS: Final[dict[str, Callable[[Members], dict[str, Any]]]] = {
    "release": _read_release,
    "deployment": _read_deployment,
    "after": _read_push,
}
"""By a member that only bodies of this event have at their top."""
