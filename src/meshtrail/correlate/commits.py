"""Which commit is behind an image or a change, and who says so.

Nothing ties what runs to a commit but claims: an image's labels, an object's annotations, and what
a delivery tool says of itself. Each answer names the one it rests on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.correlate.log_rows import find_rows, quote
from meshtrail.model.event import Kind, Trust

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshtrail.correlate.config_history import Change
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

Row = dict[str, Any]

DELIVERY_COLUMNS: Final = (
    *("log_index", "kind", "time", "received_time", "object_kind", "object_namespace"),
    *("object_name", "operation", "actor", "image_digest", "commit_id", "commit_ref"),
    "repository_url",
)
COMMIT_COLUMNS: Final = (
    *("log_index", "kind", "time", "source", "actor", "actor_trust", "commit_id", "commit_ref"),
    *("repository_url", "detail"),
)

DELIVERED_WITHIN_NS: Final = 300_000_000_000
"""So far from a change may the moment be at which a delivery tool says that it was done with it."""

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
"""How the names of those begin that a delivery tool can be."""

_TOOLS: Final = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations by which delivery tools mark what they brought in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitClue:
    """A commit, and why it is thought to be the one.

    Attributes:
        commit_id: 40 or 64 hexadecimal digits.
        reason: what it rests on.
        trust: how far.
        told_by: log index of the entry that says so.
        repository_url: of the commit, if that is said.
        commit: the commit itself, where the log has it.
    """

    commit_id: str
    reason: str
    trust: Trust
    told_by: int
    repository_url: str | None
    commit: Row | None

    @property
    def subject(self) -> str | None:
        """What the commit says that it does."""
        said = _detail(self.commit).get("subject") if self.commit else None
        return said if isinstance(said, str) else None

    @property
    def is_of_history(self) -> bool:
        """Whether the commit is told by its repository, whose actor is the author, not a pusher."""
        return self.commit is not None and self.commit["source"] == "git-log"


class CommitFinder:
    """Finds commits in one log."""

    def __init__(self, searcher: Searcher, *, now_ns: UnixNanos) -> None:
        self._searcher = searcher
        self._now_ns = now_ns

    def of_image(self, digests: str | None) -> Iterator[CommitClue]:
        """The commits that images were built from, as descriptions of them say.

        Args:
            digests: joined by commas, as the column ``image_digest`` has them.
        """
        for digest in (digests or "").split(","):
            hexadecimal = digest.partition(":")[2]
            if not hexadecimal.isalnum():
                continue
            # A description names every digest under which a runtime may know the image.
            query = f"kind:{Kind.DEPLOYMENT} AND image_digest:*{hexadecimal}*"
            for row in self._find(query, DELIVERY_COLUMNS):
                if row["commit_id"] is not None and digest in row["image_digest"].split(","):
                    yield self._clue(row, f"the label of image {digest}", Trust.ASSERTED)
                    break

    def of_pod(self, commit_id: str | None, told_by: int) -> Iterator[CommitClue]:
        """The commit that a pod names itself."""
        if commit_id is not None:
            row = {"commit_id": commit_id, "log_index": told_by, "repository_url": None}
            yield self._clue(row, "an annotation of the pod", Trust.ASSERTED)

    def behind(self, change: Change) -> Iterator[CommitClue]:
        """The commits behind a change of configuration."""
        if change.row["commit_id"] is not None:
            row = {**change.row, "repository_url": None}
            yield self._clue(row, "an annotation of the object", Trust.ASSERTED)
        # What a person changes by hand still bears the mark of the tool that brought it in.
        is_tool = (change.row["actor"] or "").startswith(_SERVICE_ACCOUNT)
        for key, value in sorted(_origin(change.row).items()) if is_tool else ():
            tool = _TOOLS.get(key)
            if tool is None:
                continue
            name = value.partition(":")[0]
            delivered = self._delivered(name, change.at_ns)
            if delivered is not None:
                yield self._clue(delivered, f"{tool} was bringing in {name}", Trust.DERIVED)
                break

    def _delivered(self, name: str, at_ns: int) -> Row | None:
        """What an application was at when it was delivered nearest to a moment."""
        query = f"kind:{Kind.DEPLOYMENT} AND object_name:{quote(name)}"
        rows = [
            row
            for row in self._find(query, DELIVERY_COLUMNS)
            if row["commit_id"] is not None and _distance(row, at_ns) <= DELIVERED_WITHIN_NS
        ]
        return min(rows, key=lambda row: _distance(row, at_ns), default=None)

    def _clue(self, row: Row, reason: str, trust: Trust) -> CommitClue:
        query = f"kind:{Kind.COMMIT} AND commit_id:{quote(row['commit_id'])}"
        found = self._find(query, COMMIT_COLUMNS)
        # A repository's own history says more than the word of a push.
        found.sort(key=lambda one: (one["source"] != "git-log", -one["log_index"]))
        commit = found[0] if found else None
        return CommitClue(
            commit_id=row["commit_id"],
            reason=reason,
            trust=trust,
            told_by=row["log_index"],
            repository_url=row["repository_url"] or (commit["repository_url"] if commit else None),
            commit=commit,
        )

    def _find(self, query: str, columns: Sequence[str]) -> list[Row]:
        return find_rows(self._searcher, query, columns, now_ns=self._now_ns)


def _distance(row: Row, at_ns: int) -> int:
    """How far an event is from a moment."""
    return int(abs((row["received_time"] if row["time"] is None else row["time"]) - at_ns))


def _origin(row: Row) -> dict[str, str]:
    """By which marks a changed object says that it was brought in."""
    said = _detail(row).get("origin")
    if not isinstance(said, dict):
        return {}
    return {key: value for key, value in said.items() if isinstance(value, str)}


def _detail(row: Row) -> dict[str, Any]:
    said = json.loads(row["detail"] or "{}")
    return said if isinstance(said, dict) else {}
