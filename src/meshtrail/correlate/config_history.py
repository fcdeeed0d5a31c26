"""What governed the mesh at a moment: the changes of each object, each with what stood before it.

A log knows of an object from its first recorded change on; what stood before that is unknown, never
absent.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from meshtrail.correlate.log_rows import find_rows, quote
from meshtrail.model.event import Kind
from meshtrail.search.period import Period
from meshtrail.sources.kubernetes.security_changes import classify_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

Json = dict[str, Any]
Row = dict[str, Any]

COLUMNS: Final = (
    *("log_index", "kind", "time", "received_time", "source", "is_duplicate"),
    *("reporter_cluster", "operation", "actor", "actor_trust", "actor_impersonated"),
    *("actor_ip", "object_kind", "object_group", "object_namespace", "object_name"),
    *("object_subresource", "object_version", "spec_hash", "security_change", "commit_id"),
    *("http_response_status_code", "audit_stage", "detail"),
)
"""What rows need to have."""

_UNKNOWN: Final[Json] = {}
"""What a state is that the log does not show."""
_REFUSED_FROM: Final = 400
_ENDED: Final = "ResponseComplete"
_NAMES_MAX: Final = 100
_REMOVING: Final = frozenset({"delete", "deletecollection", "deleted"})
_CHANGING: Final = frozenset({"create", "update", "patch", "updated", *_REMOVING})


class ObjectKey(NamedTuple):
    """What tells an object from others; a part that was not said is empty."""

    cluster: str
    group: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change that took effect.

    Attributes:
        row: the event.
        key: of the object.
        at_ns: when, on the clock of whoever took it.
        before: the change before it; None where the log has none.
    """

    row: Row
    key: ObjectKey
    at_ns: int
    before: Change | None

    @property
    def is_removal(self) -> bool:
        """Whether the object is gone by it."""
        return self.row["operation"] in _REMOVING

    @property
    def is_effectless(self) -> bool:
        """Whether what it governs by is known to be as before."""
        known = self.row["spec_hash"] is not None and self.before is not None
        return known and self.before_hash == self.row["spec_hash"]

    @property
    def security(self) -> tuple[str, ...]:
        """What it does to security: by both states where the log has them, else by itself."""
        before, after = self._states()
        if before is _UNKNOWN or after is _UNKNOWN:
            return tuple(filter(None, (self.row["security_change"] or "").split(",")))
        found = classify_change(
            before,
            after,
            group=self.key.group,
            resource=self.key.kind,
            verb=self.row["operation"],
            name=self.key.name,
        )
        return tuple(one.value for one in found)

    def _states(self) -> tuple[Json | None, Json | None]:
        """What governed before and after; ``_UNKNOWN`` where the log does not show it."""
        said = _detail(self.row)
        if self.is_removal:
            return _object(said, "object_before") or self._state_before(), None
        return self._state_before(), _object(said, "object") or _UNKNOWN

    def _state_before(self) -> Json | None:
        if self.row["operation"] == "create" or (self.before and self.before.is_removal):
            return None
        if self.before is None:
            return _UNKNOWN
        return _object(_detail(self.before.row), "object") or _UNKNOWN

    @property
    def before_hash(self) -> bytes | None:
        """SHA-256 of what stood before; None where there was nothing, or nobody knows."""
        if self.before is None or self.before.is_removal:
            return None
        found: bytes | None = self.before.row["spec_hash"]
        return found


class ConfigHistory:
    """The changes of all objects that some events tell of."""

    def __init__(self, rows: Iterable[Row]) -> None:
        """Take events.

        Args:
            rows: of kind config_change, in any order, with ``COLUMNS``; others do not matter.
        """
        self._by_key = _by_key(row for row in rows if has_effect(row))
        self._by_name: defaultdict[tuple[str, str], list[ObjectKey]] = defaultdict(list)
        for key in sorted(self._by_key):
            self._by_name[key.namespace, key.name].append(key)

    def __iter__(self) -> Iterator[Change]:
        """All changes, each object's together and in order."""
        for key in sorted(self._by_key):
            yield from self._by_key[key]

    def of(self, key: ObjectKey) -> list[Change]:
        """The changes of an object, in order."""
        return self._by_key.get(key, [])

    def named(self, namespace: str, name: str) -> list[ObjectKey]:
        """The objects of a name, whatever they are."""
        return self._by_name.get((namespace, name), [])

    def last(self, key: ObjectKey, at_ns: int) -> Change | None:
        """The last change of an object up to a moment; None where the log has none.

        That may be its removal.
        """
        changes = self.of(key)
        place = bisect_right(changes, at_ns, key=lambda change: change.at_ns)
        return changes[place - 1] if place else None


def find_changes(
    searcher: Searcher, query: str, *, period: Period, now_ns: UnixNanos
) -> list[Change]:
    """The changes that took effect and that a query finds, the oldest first.

    Args:
        searcher: of the log.
        query: in the query language; empty for all.
        period: of arrival. What stood before is looked for before it, too.
        now_ns: the time.

    Raises:
        QueryError: the query is not understood.
        BudgetError: there are too many, or a limit of the search was reached.
        TamperError: the directory does not hold what it says.
    """
    of_kind = f"kind:{Kind.CONFIG_CHANGE}"
    wanted = f"{of_kind} AND ({query})" if query else of_kind
    found_in = ["log_index", "object_name"]
    rows = find_rows(searcher, wanted, found_in, now_ns=now_ns, period=period)
    indexes = {row["log_index"] for row in rows}
    names = {row["object_name"] for row in rows}
    earlier = of_kind
    if names and None not in names and len(names) <= _NAMES_MAX:
        # Of a log of years, only what these objects were before.
        earlier += f" AND object_name:({' OR '.join(map(quote, sorted(names)))})"
    before = Period(to_ns=period.to_ns)
    history = ConfigHistory(find_rows(searcher, earlier, COLUMNS, now_ns=now_ns, period=before))
    found = [change for change in history if change.row["log_index"] in indexes]
    return sorted(found, key=lambda change: (change.at_ns, change.row["log_index"]))


def has_effect(row: Row) -> bool:
    """Whether a call changed something, as far as its event tells."""
    status = row["http_response_status_code"]
    return (
        row["operation"] in _CHANGING
        and (status is None or status < _REFUSED_FROM)
        # Of the stages of one call, the one that says what came of it.
        and row["audit_stage"] in (None, _ENDED)
        and not row["is_duplicate"]
        and not _detail(row).get("dry_run")
    )


def key_of(row: Row) -> ObjectKey:
    """The object that an event is about."""
    return ObjectKey(
        cluster=row["reporter_cluster"] or "",
        group=row["object_group"] or "",
        kind=row["object_kind"] or "",
        namespace=row["object_namespace"] or "",
        name=row["object_name"] or "",
    )


def _detail(row: Row) -> Json:
    said = json.loads(row["detail"] or "{}")
    return said if isinstance(said, dict) else {}


def _object(said: Json, name: str) -> Json | None:
    found = said.get(name)
    return found if isinstance(found, dict) and found else None


def _by_key(rows: Iterable[Row]) -> dict[ObjectKey, list[Change]]:
    found: defaultdict[ObjectKey, list[Row]] = defaultdict(list)
    for row in rows:
        found[key_of(row)].append(row)
    return {key: list(_in_order(key, same)) for key, same in found.items()}


def _in_order(key: ObjectKey, rows: list[Row]) -> Iterator[Change]:
    before = None
    for at_ns, row in sorted(((_moment(row), row) for row in rows), key=_place):
        before = Change(row=row, key=key, at_ns=at_ns, before=before)
        yield before


def _place(timed: tuple[int, Row]) -> tuple[int, int]:
    at_ns, row = timed
    return at_ns, row["log_index"]


def _moment(row: Row) -> int:
    moment: int = row["received_time"] if row["time"] is None else row["time"]
    return moment
