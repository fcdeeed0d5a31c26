"""The commits of a push, as GitHub and GitLab both list them in their webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from meshtrail.sources.json_members import Members

COMMITS_COUNT_MAX: Final = 50
PATHS_COUNT_MAX: Final = 20
_MESSAGE_CHARACTERS_MAX: Final = 512
_CHANGES: Final = {"added": "A", "modified": "M", "removed": "D"}


def list_commits(push: Members) -> list[dict[str, Any]]:
    """The last commits of a push, newest last, each with the first of its paths."""
    return [_read_commit(one) for one in push.objects("commits")[-COMMITS_COUNT_MAX:]]


def name_person(said: Members) -> str | None:
    """``name <email>``, as far as it is said."""
    name, email = said.text("name"), said.text("email")
    if email is None:
        return name
    return f"{name} <{email}>" if name is not None else f"<{email}>"


def _read_commit(said: Members) -> dict[str, Any]:
    paths = [(mark, path) for name, mark in _CHANGES.items() for path in said.texts(name)]
    told = {
        "id": said.text("id"),
        "author": name_person(said.inner("author")),
        "time_ns": said.moment("timestamp"),
        "subject": _subject(said.value("message")),
        "paths_count": len(paths),
        "paths": [{"change": mark, "path": path} for mark, path in paths[:PATHS_COUNT_MAX]],
    }
    return {name: value for name, value in told.items() if value is not None}


def _subject(message: object) -> str | None:
    """The first line of a message, which itself may have any length."""
    if not isinstance(message, str):
        return None
    return message.partition("\n")[0][:_MESSAGE_CHARACTERS_MAX] or None
