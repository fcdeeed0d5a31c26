"""Webhooks of GitLab: what was pushed, tagged, released and deployed, and by whom.

Source: GitLab documentation, "Webhook events".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.model.event import Kind, Trust
from meshtrail.sources.delivery.pushed_commits import list_commits
from meshtrail.sources.delivery.repositories import read_ref, read_repository
from meshtrail.sources.digests import read_commit
from meshtrail.sources.json_members import Members, compact_json, read_object
from meshtrail.sources.record_rows import RecordRow
from meshtrail.sources.timestamps import parse_any_time

if TYPE_CHECKING:
    from collections.abc import Callable

OTHER: Final = "an event of GitLab that tells of no push, tag, release or deployment"
_ZONE: Final = re.compile(r" (?:UTC|([+-][0-9]{4}))\Z")


def read_gitlab(record: bytes) -> RecordRow:
    """The body of a webhook as an event.

    Raises:
        InputError: it is no JSON object, or tells of something else.
    """
    said = Members(read_object(record))
    read = _EVENTS.get(said.text("object_kind") or said.text("event_name") or "")
    if read is None:
        raise InputError(OTHER)
    project = said.inner("project")
    columns = {
        **read(said),
        "actor_trust": Trust.REPORTED.value,
        "repository_url": read_repository(project.text("git_http_url") or project.text("web_url")),
    }
    if columns["actor"] is None:
        columns["actor_trust"] = None
    detail = {name: value for name, value in columns["detail"].items() if value is not None}
    columns["detail"] = compact_json(detail)
    return RecordRow(columns, said.problems)


def _read_push(said: Members) -> dict[str, Any]:
    before, after = read_commit(said.text("before")), read_commit(said.text("after"))
    count = said.integer("total_commits_count")
    return {
        "kind": Kind.COMMIT.value,
        "actor": said.text("user_username") or said.text("user_name"),
        "operation": "delete" if after is None else "create" if before is None else "push",
        # Of a tag with a message ``after`` is the tag, and not the commit that it is on.
        "commit_id": read_commit(said.text("checkout_sha")) or after,
        "commit_ref": read_ref(said.text("ref")),
        "detail": {
            "before": before,
            "after": after,
            "ref": said.text("ref"),
            "user": said.text("user_name"),
            "user_email": said.text("user_email"),
            "user_id": said.integer("user_id"),
            "message": said.text("message"),
            "commits_count": count if count is not None else len(said.objects("commits")),
            "commits": list_commits(said),
        },
    }


def _read_release(said: Members) -> dict[str, Any]:
    return {
        "kind": Kind.DEPLOYMENT.value,
        "time": _moment(said, "released_at") or _moment(said, "created_at"),
        "actor": None,
        "operation": said.text("action"),
        "commit_id": read_commit(said.text("commit", "id")),
        "commit_ref": said.text("tag"),
        "detail": {"event": "release", "name": said.text("name")},
    }


def _read_deployment(said: Members) -> dict[str, Any]:
    url = said.text("commit_url") or ""
    return {
        "kind": Kind.DEPLOYMENT.value,
        "time": _moment(said, "status_changed_at"),
        "actor": said.text("user", "username") or said.text("user", "name"),
        "operation": said.text("status"),
        # The whole id stands in the address of its page alone.
        "commit_id": read_commit(url.rpartition("/")[2]),
        "commit_ref": read_ref(said.text("ref")),
        "detail": {
            "event": "deployment",
            "environment": said.text("environment"),
            "commit": said.text("short_sha"),
            "deployment": said.integer("deployment_id"),
        },
    }


def _moment(said: Members, *path: str) -> int | None:
    """A moment as GitLab writes it: ``2026-11-22 08:00:00 UTC``, with an offset, or RFC 3339."""
    text = said.text(*path)
    if text is None:
        return None
    # What says where it holds stands beside it in RFC 3339, and not behind a space.
    moment_ns = parse_any_time(_ZONE.sub(lambda zone: zone[1] or "Z", text))
    if moment_ns is None:
        said.note(*path, what="is no moment")
    return moment_ns


_EVENTS: Final[dict[str, Callable[[Members], dict[str, Any]]]] = {
    "push": _read_push,
    "tag_push": _read_push,
    "release": _read_release,
    "deployment": _read_deployment,
}
