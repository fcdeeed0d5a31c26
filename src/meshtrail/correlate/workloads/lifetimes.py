"""Lifetimes of pods: who had which address, running what, from when until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from meshtrail.correlate.workloads.facts import ATTRIBUTES, NEVER, read_facts
from meshtrail.correlate.workloads.tenures import EndedBy, find_runs, find_tenures
from meshtrail.correlate.workloads.texts import NONE, take_texts

if TYPE_CHECKING:
    from meshtrail.correlate.workloads.facts import Facts
    from meshtrail.correlate.workloads.texts import Ints

_S: Final = pa.string()
_I64: Final = pa.int64()

LIFETIME_SCHEMA: Final = pa.schema(
    [
        pa.field("cluster", _S),
        pa.field("ip", _S, nullable=False),
        pa.field("from_ns", _I64, nullable=False),
        pa.field("to_ns", _I64),
        pa.field("ended_by", _S),
        *(pa.field(name, _S) for name in ATTRIBUTES if name != "cluster"),
        pa.field("log_index", _I64, nullable=False),
        pa.field("image_index", _I64),
    ]
)
"""A lifetime: what is known of a pod at one of its addresses, in ``[from_ns, to_ns)``.

``to_ns`` and ``ended_by`` are null where nothing ended it. ``log_index`` is the entry that says the
address, ``image_index`` the one that says the digest, or else the image.
"""


def pod_lifetimes(events: pa.Table) -> pa.Table:
    """The lifetimes that events tell of.

    Args:
        events: ``WORKLOAD_COLUMNS`` in any order; those of other kinds are left out.

    Returns:
        ``LIFETIME_SCHEMA``, by cluster, address, beginning and pod. Rows of one pod and address do
        not overlap. Pods of which no address is known have none.

    Cost: 4 us for each event.
    """
    facts = read_facts(events)
    runs = find_runs(facts)
    tenures = find_tenures(facts, runs)
    first = runs.first[tenures.run]
    behind = runs.next[tenures.run]
    begin_ns, end_ns = tenures.from_ns[tenures.tenure], tenures.to_ns[tenures.tenure]
    is_first = np.append(True, tenures.tenure[1:] != tenures.tenure[:-1])[: len(first)]
    is_last = np.append(tenures.tenure[1:] != tenures.tenure[:-1], True)[: len(first)]
    from_ns = np.where(is_first, begin_ns, np.maximum(facts.at_ns[first], begin_ns))
    next_ns = np.where(is_last, NEVER, np.append(facts.at_ns, NEVER)[behind])
    to_ns = np.minimum(next_ns, end_ns)
    changed = list(EndedBy).index(EndedBy.CHANGE)
    ended_by = np.where(next_ns < end_ns, changed, tenures.ended_by[tenures.tenure])
    ended_by = np.where(to_ns == NEVER, NONE, ended_by)
    table = pa.table(
        {
            **{
                name: take_texts(facts.texts[name], facts.codes[name][first]) for name in ATTRIBUTES
            },
            "ip": take_texts(tenures.addresses, tenures.address),
            "from_ns": pa.array(from_ns),
            "to_ns": pa.array(to_ns, mask=to_ns == NEVER),
            "ended_by": take_texts(pa.array(map(str, EndedBy), _S), ended_by),
            "log_index": pa.array(facts.log_index[facts.addresses_source[first]]),
            "image_index": _image_index(facts, first),
        }
    )
    table = table.select(LIFETIME_SCHEMA.names).cast(LIFETIME_SCHEMA)
    rows = np.flatnonzero(from_ns < to_ns)
    keys = ("cluster", "ip", "from_ns", "uid", "namespace", "pod")
    return table.take(pa.array(rows)).sort_by([(name, "ascending") for name in keys])


def _image_index(facts: Facts, first: Ints) -> pa.Array:
    """The entries that say what the pods run; null where none does."""
    source = facts.sources["image_digest"][first]
    source = np.where(source != NONE, source, facts.sources["image"][first])
    is_unknown = source == NONE
    return pa.array(facts.log_index[np.where(is_unknown, 0, source)], mask=is_unknown)
