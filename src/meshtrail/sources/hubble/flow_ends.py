"""Who was at both ends of a flow, as the agent of a node knew them.

A packet of an answer goes from the callee to the caller. Events are of connections, so both ends of
such a packet are swapped: ``src`` is whoever called, in every line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Trust
from meshtrail.sources.attribute_values import read_numbers
from meshtrail.sources.columns import labelled, map_distinct, mask_null, plain, read_distinct
from meshtrail.sources.hubble.values import (
    DIRECTIONS,
    SIDES,
    LabelFacts,
    NodeFacts,
    read_labels,
    read_node,
    read_workloads,
)

if TYPE_CHECKING:
    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.hubble.json_objects import JsonObjects
    from meshtrail.sources.hubble.lines import HubbleLines

    Columns = dict[str, pa.Array]

TRANSPORTS: Final = {
    "TCP": "tcp",
    "UDP": "udp",
    "SCTP": "sctp",
    "ICMPv4": "icmp",
    "ICMPv6": "icmpv6",
}
PORTED: Final = ("TCP", "UDP", "SCTP")
PORT_MAX: Final = 65_535
IP: Final = r"[0-9A-Fa-f.:]{2,45}"
"""An address, as a regular expression."""
CODED: Final = ("namespace", "service_account")
PLAIN: Final = ("ip", "port", "workload", "service", "version", "pod", "node", "cluster")
OF_WORKLOAD: Final = ("workload", "service", "version", "pod", "node", "cluster")
_S: Final = pa.string()
_I32: Final = pa.int32()


def tell_ends(
    out: EventColumns, lines: HubbleLines, *, is_reply: pa.Array, detail: JsonObjects
) -> None:
    """Both ends, the side that the node saw, and the transport.

    Args:
        out: what to fill.
        lines: of Hubble.
        is_reply: bool[n], null where that is not known.
        detail: what to tell more of.
    """
    direction = lines.enum(DIRECTIONS, "traffic_direction")
    (side,) = map_distinct(direction, lambda name: (SIDES.get(name),), [_S])
    out.columns["side"] = side = plain(side)
    swapped = pc.fill_null(is_reply, fill_value=False)
    ends = {name: _read_end(out, lines, name) for name in ("source", "destination")}
    src = _choose(swapped, ends["destination"], ends["source"])
    dst = _choose(swapped, ends["source"], ends["destination"])
    name = pc.coalesce(lines.flow("node_name"), lines.text("node_name"))
    node = read_distinct(name, read_node, NodeFacts)
    placed = [
        _place(end, node, pc.equal(side, its_side))
        for end, its_side in ((src, "source"), (dst, "destination"))
    ]
    for short, end in (("src", src), ("dst", dst)):
        _tell_end(out, short, end)
        detail.add_text(f"{short}_identity", end["identity"])
        detail.add_text(f"{short}_entity", end["entity"])
    detail.add_text("node", mask_null(name, pc.invert(pc.or_(*placed))))
    detail.add_text("direction", mask_null(direction, pc.is_null(side)))
    _tell_transport(out, lines)


def _read_end(out: EventColumns, lines: HubbleLines, name: str) -> Columns:
    """One end of packets."""
    labels = read_distinct(lines.flow(name, "labels"), read_labels, LabelFacts)
    (workload,) = map_distinct(
        lines.flow(name, "workloads"), lambda text: (read_workloads(text),), [_S]
    )
    end = {fact: plain(column) for fact, column in labels.items()}
    end["namespace"] = pc.coalesce(lines.flow(name, "namespace"), end["namespace"])
    end["cluster"] = pc.coalesce(lines.flow(name, "cluster_name"), end["cluster"])
    end["workload"] = plain(workload)
    end["service"] = lines.flow(f"{name}_service", "name")
    end["pod"] = lines.flow(name, "pod_name")
    end["identity"] = lines.flow(name, "identity")
    end["is_local"] = pc.fill_null(pc.not_equal(lines.flow(name, "ID"), "0"), fill_value=False)
    end["ip"] = _read_ip(out, lines, name)
    end["port"] = _read_port(out, lines, name)
    return end


def _read_ip(out: EventColumns, lines: HubbleLines, name: str) -> pa.Array:
    told = lines.flow("IP", name)
    ip = mask_null(told, pc.match_substring_regex(told, f"^{IP}$"))
    out.problems[f"IP.{name} is no address"] = pc.and_(pc.is_valid(told), pc.is_null(ip))
    return ip


def _read_port(out: EventColumns, lines: HubbleLines, name: str) -> pa.Array:
    told = pc.coalesce(*(lines.flow("l4", protocol, f"{name}_port") for protocol in PORTED))
    number, _ = read_numbers(told, to=_I32)
    number = mask_null(number, pc.less_equal(number, PORT_MAX))
    out.problems[f"{name}_port is no port"] = pc.and_(pc.is_valid(told), pc.is_null(number))
    return mask_null(number, pc.greater(number, 0))


def _choose(swapped: pa.Array, other: Columns, own: Columns) -> Columns:
    if not pc.any(swapped).as_py():
        return dict(own)
    return {name: pc.if_else(swapped, other[name], column) for name, column in own.items()}


def _place(end: Columns, node: Columns, is_side: pa.Array) -> pa.Array:
    """Put an end on the node that saw it, if it is there; bool[n]."""
    is_here = pc.or_(end["is_local"], pc.fill_null(is_side, fill_value=False))
    end["node"] = mask_null(plain(node["node"]), is_here)
    end["cluster"] = pc.coalesce(end["cluster"], mask_null(plain(node["cluster"]), is_here))
    return is_here


def _tell_end(out: EventColumns, short: str, end: Columns) -> None:
    columns = out.columns
    for name in CODED:
        columns[f"{short}_{name}"] = pc.dictionary_encode(end[name])
    for name in PLAIN:
        columns[f"{short}_{name}"] = end[name]
    said = pc.is_valid(pc.coalesce(*(end[name] for name in OF_WORKLOAD)))
    columns[f"{short}_workload_trust"] = plain(labelled(said, Trust.REPORTED.value))


def _tell_transport(out: EventColumns, lines: HubbleLines) -> None:
    transport = pa.nulls(out.rows_count, _S)
    for protocol, name in TRANSPORTS.items():
        if protocol in PORTED:
            told = pc.coalesce(
                lines.flow("l4", protocol, "source_port"),
                lines.flow("l4", protocol, "destination_port"),
            )
        else:
            told = lines.flow("l4", protocol)
        here = pc.if_else(pc.is_valid(told), name, pa.scalar(None, _S))
        transport = pc.coalesce(transport, here)
    out.columns["network_transport"] = transport
