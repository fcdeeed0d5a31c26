"""What workload events say, by pod and time: numbers instead of texts, and gaps filled.

The order in which events came in plays no part: by a pod's facts in the order of their own time
everything else is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate.workloads.grouped_moments import GroupedMoments
from meshtrail.correlate.workloads.texts import (
    NONE,
    as_array,
    encode_sorted,
    encode_texts,
    filled_from,
    integers,
    pair_codes,
    said_after,
)
from meshtrail.model.event import Kind

if TYPE_CHECKING:
    import numpy.typing as npt

    from meshtrail.correlate.workloads.texts import Ints

    Bools = npt.NDArray[np.bool_]

ATTRIBUTES: Final = {
    "cluster": "reporter_cluster",
    "namespace": "object_namespace",
    "pod": "object_name",
    "uid": "object_uid",
    "workload": "pod_workload",
    "service_account": "pod_service_account",
    "node": "pod_node",
    "version": "pod_version",
    "image": "image",
    "image_digest": "image_digest",
    "commit_id": "commit_id",
}
"""What is known of a pod, and the event column that says it."""

WORKLOAD_COLUMNS: Final = (
    "log_index",
    "kind",
    "time",
    "received_time",
    "time_offset",
    "operation",
    "actor",
    "http_response_status_code",
    "audit_stage",
    "object_subresource",
    "object_version",
    "object_created_time",
    "object_deleted_time",
    "pod_ips",
    "detail",
    "pod_phase",
    *ATTRIBUTES.values(),
)
"""The event columns that lifetimes are made of."""

NEVER: Final = 2**63 - 1
"""The time of what did not happen."""

_REFUSED_FROM: Final = 300
_ANSWERED: Final = "ResponseComplete"
_GONE: Final = "deleted"
_DELETE: Final = "delete"
_KUBELET: Final = "system:node:"
_FINISHED: Final = r'"finished_ns":(?P<ns>[0-9]{1,18})[,}]'
"""When all containers of a pod had ended, likewise."""
_DRY_RUN: Final = '"dry_run":true'
"""A call that was to change nothing, likewise."""
_ON_HOST: Final = '"host_network":true'
"""As the detail of a pod says it, which is JSON without spaces."""
_PENDING: Final = "Pending"
_OVER: Final = ("Succeeded", "Failed")
_ALIVE: Final = (_PENDING, "Running", "Unknown")
_VERSION_DIGITS_MAX: Final = 18


@dataclass(slots=True, kw_only=True, eq=False)
class Facts:
    """Facts by pod, and each pod's by time: n facts of p pods.

    Attributes:
        log_index: int64[n].
        at_ns: int64[n], on the collector's clock where the offset is known.
        pod: int64[n], from 0 on.
        first: int64[n], the first fact of the same pod.
        end: int64[n], the fact behind its last.
        codes: what is known, by attribute: int64[n], filled from the pod's other facts.
        sources: by attribute, the fact that says it: int64[n].
        texts: by attribute, the text of each number.
        addresses: int64[n], as ``codes``: the number of a text in ``address_texts``.
        addresses_source: int64[n].
        addresses_next: int64[n], the first fact from here on that says addresses.
        address_texts: string[a]; an empty one says that there was no address.
        is_on_host: bool[p], whether its addresses are those of its node.
        created_ns: int64[p]; ``NEVER`` where nothing says it.
        over_ns: int64[p], when it was gone or over; ``NEVER`` where nothing says it.
        sure_ns: int64[p], until when it was there surely, where somebody saw that it was over;
            else ``NEVER``.
        is_over_by_phase: bool[p].
    """

    log_index: Ints
    at_ns: Ints
    pod: Ints
    first: Ints
    end: Ints
    codes: dict[str, Ints]
    sources: dict[str, Ints]
    texts: dict[str, pa.Array]
    addresses: Ints
    addresses_source: Ints
    addresses_next: Ints
    address_texts: pa.Array
    is_on_host: Bools
    created_ns: Ints
    over_ns: Ints
    sure_ns: Ints
    is_over_by_phase: Bools

    @property
    def pod_starts(self) -> Ints:
        """The first fact of each pod: int64[p]."""
        return np.flatnonzero(self.first == np.arange(len(self.first)))


class _Ends(NamedTuple):
    """As ``Facts`` has it."""

    over_ns: Ints
    sure_ns: Ints
    is_by_phase: Bools


def read_facts(events: pa.Table) -> Facts:
    """The facts in some events.

    Args:
        events: ``WORKLOAD_COLUMNS``, in any order; what is of another kind, was refused, or names
            no pod, is left out.
    """
    chosen = events.select(WORKLOAD_COLUMNS).filter(_is_fact(events))
    at_ns = _times(chosen, "time", "received_time")
    created_ns = _times(chosen, "object_created_time", None)
    pod = _number_pods(chosen, at_ns, created_ns)
    version = _versions(chosen.column("object_version"))
    log_index = integers(chosen.column("log_index"))
    order = np.lexsort((log_index, version, at_ns, pod))
    chosen = chosen.take(pa.array(order))
    at_ns, created_ns, pod = at_ns[order], created_ns[order], pod[order]
    is_first = np.append(True, pod[1:] != pod[:-1])[: len(pod)]
    starts = np.flatnonzero(is_first)
    counts = np.diff(np.append(starts, len(pod)))
    first = np.repeat(starts, counts)
    end = np.repeat(starts + counts, counts)
    encoded = {name: encode_texts(chosen.column(of)) for name, of in ATTRIBUTES.items()}
    sources = {name: filled_from(codes, first, end) for name, (codes, _) in encoded.items()}
    addresses, address_texts = _addresses(chosen)
    source = filled_from(addresses, first, end)
    is_on_host = _truths(pc.match_substring(chosen.column("detail"), _ON_HOST))
    ends = _ends(chosen, at_ns, starts)
    return Facts(
        log_index=log_index[order],
        at_ns=at_ns,
        pod=np.repeat(np.arange(len(starts)), counts),
        first=first,
        end=end,
        codes={name: _taken(codes, sources[name]) for name, (codes, _) in encoded.items()},
        sources=sources,
        texts={name: texts for name, (_, texts) in encoded.items()},
        addresses=_taken(addresses, source),
        addresses_source=source,
        addresses_next=said_after(addresses, end),
        address_texts=address_texts,
        is_on_host=_most(is_on_host.astype(np.int64), starts) > 0,
        created_ns=_least(created_ns, starts),
        over_ns=ends.over_ns,
        sure_ns=ends.sure_ns,
        is_over_by_phase=ends.is_by_phase,
    )


def shorten_details(details: pa.Array) -> pa.Array:
    """Details with no more of them than facts are read from: a few bytes instead of thousands.

    Args:
        details: string[n].

    Returns:
        string[n], from which the same is read.
    """
    nothing = pa.scalar("", pa.string())
    parts = [
        pc.fill_null(pc.if_else(pc.match_substring(details, text), text, nothing), nothing)
        for text in (_ON_HOST, _DRY_RUN)
    ]
    finished = pc.struct_field(pc.extract_regex(details, _FINISHED), "ns")
    told = pc.binary_join_element_wise('"finished_ns":', finished, "}", "")
    return pc.binary_join_element_wise(*parts, pc.fill_null(told, nothing), "")


def _is_fact(events: pa.Table) -> pa.ChunkedArray:
    """Which events say something of a pod that came to be so."""
    status = pc.fill_null(events.column("http_response_status_code"), 0)
    is_done = pc.equal(pc.fill_null(events.column("audit_stage"), _ANSWERED), _ANSWERED)
    has_name = pc.or_(
        pc.is_valid(events.column("object_uid")), pc.is_valid(events.column("object_name"))
    )
    is_workload = pc.equal(events.column("kind"), Kind.WORKLOAD.value)
    is_dry = pc.fill_null(pc.match_substring(events.column("detail"), _DRY_RUN), False)  # noqa: FBT003 - the value
    is_answered = pc.and_(is_done, pc.less(status, _REFUSED_FROM))
    return pc.and_(pc.and_(is_workload, has_name), pc.and_not(is_answered, is_dry))


def _times(facts: pa.Table, name: str, instead: str | None) -> Ints:
    """Times on the collector's clock, or on the other column's; else ``NEVER``: int64[n]."""
    moments = pc.subtract(facts.column(name), pc.fill_null(facts.column("time_offset"), 0))
    if instead is not None:
        moments = pc.coalesce(moments, facts.column(instead))
    return integers(moments, null=NEVER)


def _number_pods(facts: pa.Table, at_ns: Ints, created_ns: Ints) -> Ints:
    """A number for each pod: int64[n].

    A fact without a UID is of the last pod of that name that had begun by then, if there was one.
    """
    uid = encode_sorted(facts.column("object_uid"))
    name, _ = encode_texts(facts.column("object_name"))
    cluster, _ = encode_texts(facts.column("reporter_cluster"))
    namespace, _ = encode_texts(facts.column("object_namespace"))
    known = np.flatnonzero((uid != NONE) & (name != NONE))
    names = pair_codes(cluster, namespace, name)
    begun: dict[str, Ints] = _begins(uid[known], names[known], at_ns[known], created_ns[known])
    unnamed = np.flatnonzero(uid == NONE)
    pods = GroupedMoments(begun["name"], begun["at_ns"])
    place = pods.last_until(names[unnamed], at_ns[unnamed])
    found = place != NONE
    uid[unnamed[found]] = begun["uid"][pods.order][place[found]]
    return pair_codes(uid, np.where(uid == NONE, names, NONE))


def _begins(uid: Ints, names: Ints, at_ns: Ints, created_ns: Ints) -> dict[str, Ints]:
    """Each UID under each name that it had, and when that pod began."""
    order = np.lexsort((np.minimum(created_ns, NEVER), uid, names))
    uid, names, at_ns, created_ns = uid[order], names[order], at_ns[order], created_ns[order]
    is_new = np.append(True, (uid[1:] != uid[:-1]) | (names[1:] != names[:-1]))[: len(uid)]
    starts = np.flatnonzero(is_new)
    created, seen = _least(created_ns, starts), _least(at_ns, starts)
    begun = np.where(created != NEVER, created, seen)
    return {"uid": uid[starts], "name": names[starts], "at_ns": begun}


def _addresses(facts: pa.Table) -> tuple[Ints, pa.Array]:
    """What each fact says of its pod's addresses; a pod that waits and has none says so, too."""
    is_waiting = pc.equal(facts.column("pod_phase"), _PENDING)
    said = as_array(facts.column("pod_ips"))
    said = pc.if_else(pc.fill_null(as_array(is_waiting), False), pc.fill_null(said, ""), said)  # noqa: FBT003 - the value
    return encode_texts(said)


def _ends(facts: pa.Table, at_ns: Ints, starts: Ints) -> _Ends:
    """When each pod was over.

    Who deletes a pod asks for it: it lives on for a while, until a planned time at most. A watch
    says when it is gone; so does the kubelet, which deletes what it has stopped.
    """
    verb = pc.utf8_lower(facts.column("operation"))
    is_whole = pc.is_null(facts.column("object_subresource"))
    is_deletion = _truths(pc.and_(pc.equal(verb, _DELETE), is_whole))
    by_kubelet = _truths(pc.starts_with(facts.column("actor"), _KUBELET))
    is_gone = _truths(pc.equal(verb, _GONE)) | (is_deletion & by_kubelet)
    planned_ns = _times(facts, "object_deleted_time", None)
    has_plan = planned_ns != NEVER
    asked_ns = np.where(is_deletion, at_ns, NONE)
    asked_ns = _most(np.where(has_plan, np.maximum(asked_ns, planned_ns), asked_ns), starts)
    phase = facts.column("pod_phase")
    is_alive = _truths(pc.is_in(phase, pa.array(_ALIVE))) & ~is_gone & ~is_deletion
    alive_ns = _most(np.where(is_alive & ~has_plan, at_ns, NONE), starts)
    asked_ns = np.where(asked_ns == NONE, NEVER, np.maximum(asked_ns, alive_ns))
    is_over = _truths(pc.is_in(phase, pa.array(_OVER)))
    # What is seen to be over may say since when.
    told_ns = np.minimum(at_ns, planned_ns)
    finished_ns = np.minimum(told_ns, _read_finished(facts.column("detail"), is_over))
    phase_ns = _least(np.where(is_over, finished_ns, NEVER), starts)
    gone_ns = _least(np.where(is_gone, at_ns, NEVER), starts)
    deleted_ns = np.where(gone_ns != NEVER, gone_ns, asked_ns)
    is_by_phase = (phase_ns != NEVER) & (phase_ns <= deleted_ns)
    is_seen = (gone_ns != NEVER) | is_by_phase
    sure_ns = np.minimum(phase_ns, _least(np.where(is_gone, told_ns, NEVER), starts))
    return _Ends(
        over_ns=np.minimum(phase_ns, deleted_ns),
        sure_ns=np.where(is_seen, sure_ns, NEVER),
        is_by_phase=is_by_phase,
    )


def _read_finished(details: pa.ChunkedArray, is_over: Bools) -> Ints:
    """When the containers of pods that are over had ended: int64[n], ``NEVER`` where unknown."""
    details = pc.if_else(pa.array(is_over), as_array(details), pa.scalar(None, pa.string()))
    found = pc.struct_field(pc.extract_regex(details, _FINISHED), "ns")
    return integers(found, null=NEVER)


def _versions(column: pa.ChunkedArray) -> Ints:
    """Resource versions, which grow, as numbers; 0 where they are none."""
    codes, texts = encode_texts(column)
    numbers = [_version(text) for text in texts.to_pylist()]
    return np.array([*numbers, 0], dtype=np.int64)[codes]


def _version(text: str | None) -> int:
    is_number = text is not None and text.isascii() and text.isdigit()
    return int(text) if text and is_number and len(text) <= _VERSION_DIGITS_MAX else 0


def _truths(column: pa.ChunkedArray) -> Bools:
    truths: Bools = np.asarray(pc.fill_null(as_array(column), False))  # noqa: FBT003 - the value
    return truths


def _taken(codes: Ints, rows: Ints) -> Ints:
    """What stands at some rows; ``NONE`` for none."""
    return np.append(codes, NONE)[rows]


def _least(values: Ints, starts: Ints) -> Ints:
    return np.minimum.reduceat(values, starts) if len(starts) else values[:0]


def _most(values: Ints, starts: Ints) -> Ints:
    return np.maximum.reduceat(values, starts) if len(starts) else values[:0]
