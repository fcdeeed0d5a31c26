"""Lines that Hubble's exporter or ``hubble observe -o json`` writes, to event columns.

Row-wise reference: ``reference``. The meaning of each column: docs/sources/hubble.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import mask_null
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.hubble.flows import tell_flows
from meshtrail.sources.hubble.lines import HubbleLines
from meshtrail.sources.hubble.node_events import COLUMNS, NUMBERS, NodeEvent, read_node_event

if TYPE_CHECKING:
    from meshtrail.sources.streams import Reporters

_S: Final = pa.string()
_I64: Final = pa.int64()


def map_hubble(records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of lines of Hubble.

    Args:
        records: binary[n], lines without their line feed.

    Cost: 25 µs for a flow of 1.5 kB; a Python object for each line that is none.
    """
    out = EventColumns(len(records))
    lines = HubbleLines(records)
    tell_flows(out, lines)
    _tell_node_events(out, lines)
    keep = pa.array(lines.good)
    out.columns["kind"] = mask_null(out.columns["kind"], keep)
    out.columns["decision"] = mask_null(out.columns["decision"], pa.array(lines.is_flow))
    out.blank_refused(lines.bad)
    return out


def _tell_node_events(out: EventColumns, lines: HubbleLines) -> None:
    """What is no flow, one line at a time."""
    if not lines.other:
        return
    rows = sorted(lines.other)
    take = pa.array(rows)
    nodes, times = (lines.text(name).take(take).to_pylist() for name in ("node_name", "time"))
    texts = {name: lines.text(name) for name in set(lines.other.values())}
    events = [
        read_node_event(lines.other[row], texts[lines.other[row]][row].as_py(), node=node, time=at)
        for row, node, at in zip(rows, nodes, times, strict=True)
    ]
    lines.bad |= {
        row: event.refusal for row, event in zip(rows, events, strict=True) if event.refusal
    }
    _note(out, rows, events)
    places = np.full(out.rows_count, -1, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    of_rows = pa.array(places, mask=places < 0)
    for name in COLUMNS:
        values = pa.array(
            [getattr(event, name) for event in events], _I64 if name in NUMBERS else _S
        ).take(of_rows)
        known = out.columns.get(name)
        out.columns[name] = values if known is None else pc.coalesce(values, known)


def _note(out: EventColumns, rows: list[int], events: list[NodeEvent]) -> None:
    for problem in sorted({problem for event in events for problem in event.problems}):
        here = np.zeros(out.rows_count, dtype=np.bool_)
        here[[row for row, one in zip(rows, events, strict=True) if problem in one.problems]] = True
        known = out.problems.get(problem)
        out.problems[problem] = pa.array(here) if known is None else pc.or_(known, pa.array(here))
