"""What stands behind one event: who was at both ends, what they ran, what governed them, and why.

Nothing here is in the event itself. Each part names the entries that it rests on, and says where
the log does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from meshtrail.correlate import config_history
from meshtrail.correlate.commits import CommitFinder
from meshtrail.correlate.config_history import Change, ConfigHistory, ObjectKey
from meshtrail.correlate.log_rows import find_rows, quote
from meshtrail.correlate.workloads import VIEW_COLUMNS, enrich, read_history
from meshtrail.errors import NotFoundError
from meshtrail.model.event import EVENT_SCHEMA, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.correlate.commits import CommitClue
    from meshtrail.search.searcher import Searcher
    from meshtrail.units import UnixNanos

Row = dict[str, Any]

POLICY_KINDS: Final = frozenset(
    {
        *("authorizationpolicies", "requestauthentications", "peerauthentications"),
        *("networkpolicies", "ciliumnetworkpolicies", "ciliumclusterwidenetworkpolicies"),
        *("serviceintentions", "meshtrafficpermissions", "servers", "httproutes"),
        *("meshtlsauthentications", "networkauthentications", "serverauthorizations"),
        *("adminnetworkpolicies", "baselineadminnetworkpolicies", "securitypolicies"),
    }
)
"""Resources whose objects decide what is let through."""

ENDS: Final = ("src", "dst")
_END_COLUMNS: Final = (
    *("spiffe_id", "spiffe_id_trust", "namespace", "service_account", "ip", "port"),
    *("workload", "service", "version", "pod", "node", "cluster", "workload_trust"),
)
_VIEW_OF_END: Final = tuple(
    name.removeprefix("src_") for name in VIEW_COLUMNS if name.startswith("src_")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EndFacts:
    """One end of a call.

    Attributes:
        side: ``src`` or ``dst``.
        facts: what the event says of it and what the inventory adds, by column without the side.
        commits: what its image and its pod say that they were built from.
    """

    side: str
    facts: Row
    commits: tuple[CommitClue, ...]

    @property
    def is_known(self) -> bool:
        """Whether anything is said of it."""
        return any(self.facts[name] is not None for name in ("spiffe_id", "ip", "pod"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Governing:
    """An object that governed the event.

    Attributes:
        key: of the object.
        in_force: its last change before; None where the log begins later.
        next: the first change after; None where there was none.
        commits: what stands behind ``in_force``.
    """

    key: ObjectKey
    in_force: Change | None
    next: Change | None
    commits: tuple[CommitClue, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An event with what stands behind it.

    Attributes:
        event: ``EVENT_SCHEMA`` as a row.
        at_ns: when it happened, as far as is known.
        ends: caller and callee, as far as the event has them.
        governing: objects that decided; those of the callee's namespace where no policy is named.
        is_named: whether the event names the policy.
    """

    event: Row
    at_ns: int
    ends: tuple[EndFacts, ...]
    governing: tuple[Governing, ...] = field(default=())
    is_named: bool = False


def explain(searcher: Searcher, log_index: int, *, now_ns: UnixNanos) -> Explanation:
    """What stands behind an entry.

    Args:
        searcher: of the log.
        log_index: of the entry.
        now_ns: the time.

    Raises:
        NotFoundError: the log has no such entry.
        BudgetError: too much would have to be looked at.
        TamperError: the directory does not hold what it says.
    """
    rows = find_rows(searcher, f"log_index:{log_index}", EVENT_SCHEMA.names, now_ns=now_ns)
    if not rows:
        raise NotFoundError(f"the log has no sealed entry {log_index}", log_index=log_index)
    # Ids are of any length in rows that were searched; none of them is joined by.
    schema = pa.schema(
        pa.field(one.name, pa.binary() if pa.types.is_fixed_size_binary(one.type) else one.type)
        for one in EVENT_SCHEMA
    )
    history = read_history(searcher, now_ns=now_ns)
    [event] = enrich(pa.Table.from_pylist(rows, schema=schema), history).to_pylist()
    finder = CommitFinder(searcher, now_ns=now_ns)
    ends = tuple(one for side in ENDS if (one := _end(event, side, finder)).is_known)
    at_ns = event["received_time"] if event["time"] is None else event["time"]
    at_ns -= (event["time_offset"] or 0) if event["time"] is not None else 0
    changes = _read_changes(searcher, event, now_ns=now_ns)
    return Explanation(
        event=rows[0],
        at_ns=at_ns,
        ends=ends,
        governing=tuple(_governing(changes, at_ns, finder)),
        is_named=event["policy_name"] is not None,
    )


def _end(event: Row, side: str, finder: CommitFinder) -> EndFacts:
    facts = {name: event[f"{side}_{name}"] for name in (*_END_COLUMNS, *_VIEW_OF_END)}
    told_by = facts["inventory_index"]
    commits = (
        *finder.of_image(facts["image_digest"]),
        *finder.of_pod(facts["commit_id"], told_by if told_by is not None else 0),
    )
    return EndFacts(side=side, facts=facts, commits=commits)


def _read_changes(searcher: Searcher, event: Row, *, now_ns: UnixNanos) -> ConfigHistory:
    """The changes of the policies that are named; else of those of the callee's namespace."""
    names = _parts(event["policy_name"])
    namespaces = _parts(event["policy_namespace"] if names else event["dst_namespace"])
    if not names and not namespaces:
        return ConfigHistory([])
    terms = [f"kind:{Kind.CONFIG_CHANGE}"]
    for column, wanted in (("object_name", names), ("object_namespace", namespaces)):
        if wanted:
            terms.append(f"{column}:({' OR '.join(map(quote, wanted))})")
    rows = find_rows(searcher, " AND ".join(terms), config_history.COLUMNS, now_ns=now_ns)
    policies = [row for row in rows if row["object_kind"] in POLICY_KINDS]
    # A name that nothing known as a policy has is shown, whatever has it.
    rows = policies if policies or not names else rows
    return ConfigHistory(_of_cluster(rows, event))


def _of_cluster(rows: list[Row], event: Row) -> list[Row]:
    """Those of the event's cluster, where that is known and has any; else all."""
    clusters = {event["dst_cluster"], event["reporter_cluster"]} - {None}
    own = [row for row in rows if row["reporter_cluster"] in clusters | {None}]
    return own if clusters and own else rows


def _parts(joined: str | None) -> list[str]:
    """The texts that a column has joined by commas, as that of several policies."""
    return [part for part in (joined or "").split(",") if part]


def _governing(history: ConfigHistory, at_ns: int, finder: CommitFinder) -> Iterator[Governing]:
    for key in sorted({change.key for change in history}):
        in_force = history.last(key, at_ns)
        later = (change for change in history.of(key) if change.at_ns > at_ns)
        commits = () if in_force is None else tuple(finder.behind(in_force))
        yield Governing(key=key, in_force=in_force, next=next(later, None), commits=commits)
