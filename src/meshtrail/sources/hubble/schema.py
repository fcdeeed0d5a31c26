"""What is read of a line that Hubble writes: an ExportEvent as proto JSON, in either spelling.

Hubble spells members as its schema does (``node_name``); what passes lines on may have written them
anew in proto JSON's own spelling (``nodeName``). Members that nobody needs one by one are read as
the JSON they are.

Source: cilium/cilium api/v1/flow/flow.proto, api/v1/observer/observer.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.sources.json_columns import TEXT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshtrail.sources.json_columns import Structure

    Members = Mapping[str, Structure]

_END: Final[Members] = {
    "ID": TEXT,
    "identity": TEXT,
    "cluster_name": TEXT,
    "namespace": TEXT,
    "labels": TEXT,
    "pod_name": TEXT,
    "workloads": TEXT,
}
_PORTS: Final[Members] = {"source_port": TEXT, "destination_port": TEXT}
POLICY_LISTS: Final = (
    "egress_allowed_by",
    "ingress_allowed_by",
    "egress_denied_by",
    "ingress_denied_by",
)
_FLOW: Final[Members] = {
    "time": TEXT,
    "uuid": TEXT,
    "verdict": TEXT,
    "drop_reason": TEXT,
    "drop_reason_desc": TEXT,
    "auth_type": TEXT,
    "IP": {"source": TEXT, "destination": TEXT},
    "l4": {"TCP": _PORTS, "UDP": _PORTS, "SCTP": _PORTS, "ICMPv4": TEXT, "ICMPv6": TEXT},
    "source": _END,
    "destination": _END,
    "Type": TEXT,
    "node_name": TEXT,
    "source_names": TEXT,
    "destination_names": TEXT,
    "l7": {
        "type": TEXT,
        "latency_ns": TEXT,
        "dns": TEXT,
        "http": {
            "code": TEXT,
            "method": TEXT,
            "url": TEXT,
            "protocol": TEXT,
            "headers": [{"key": TEXT, "value": TEXT}],
        },
        "kafka": TEXT,
    },
    "reply": TEXT,
    "is_reply": TEXT,
    "event_type": {"type": TEXT, "sub_type": TEXT},
    "source_service": {"name": TEXT},
    "destination_service": {"name": TEXT},
    "traffic_direction": TEXT,
    "policy_match_type": TEXT,
    "trace_observation_point": TEXT,
    "trace_context": {"parent": {"trace_id": TEXT}},
    "policy_log": TEXT,
    **dict.fromkeys(POLICY_LISTS, TEXT),
}
OTHERS: Final = ("lost_events", "agent_event", "node_status", "debug_event")
"""What a line may hold in place of a flow."""
_LINE: Final[Members] = {
    "flow": _FLOW,
    **dict.fromkeys(OTHERS, TEXT),
    "node_name": TEXT,
    "time": TEXT,
}


def camel_case(name: str) -> str:
    """A member's name in proto JSON's own spelling."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def camel_path(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path of members in proto JSON's own spelling."""
    return tuple(map(camel_case, path))


def _respelled(structure: Structure) -> Structure:
    if isinstance(structure, str):
        return structure
    if isinstance(structure, list):
        return [_respelled(one) for one in structure]
    return {camel_case(name): _respelled(one) for name, one in structure.items()}


def _in_both_spellings(structure: Structure) -> Structure:
    """With what is spelled in another way besides."""
    if isinstance(structure, (str, list)):
        return structure
    both: dict[str, Structure] = {}
    for name, one in structure.items():
        both[name] = _in_both_spellings(one)
        if camel_case(name) != name:
            both[camel_case(name)] = _respelled(one)
    return both


STRUCTURE: Final[Members] = {
    **{name: _in_both_spellings(one) for name, one in _LINE.items()},
    **{camel_case(name): _respelled(one) for name, one in _LINE.items() if "_" in name},
}
