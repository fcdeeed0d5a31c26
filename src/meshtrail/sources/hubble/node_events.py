"""What a node says besides flows: losses, what its agent did, its state, and what it debugs.

These are few, so both the columnar mapper and its reference read each of them by itself.

Source: cilium/cilium api/v1/flow/flow.proto, LostEvent and AgentEvent; pkg/labels for policies.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.model.event import Kind
from meshtrail.sources.hubble.schema import camel_case
from meshtrail.sources.hubble.values import joined, named, parse_value
from meshtrail.sources.json_reference import Members
from meshtrail.sources.timestamps import parse_time
from meshtrail.units import INT64_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN_NODE: Final = "a node without a name"
CAUSE_UNKNOWN: Final = "unknown"
CAUSES: Final = {
    "PERF_EVENT_RING_BUFFER": "perf_event_ring_buffer",
    "OBSERVER_EVENTS_QUEUE": "observer_events_queue",
    "HUBBLE_RING_BUFFER": "hubble_ring_buffer",
}
"""Where Hubble loses events, and the causes of gaps that these are; all else is unknown."""

_SOURCES: Final = dict(enumerate(CAUSES, 1))
_SOURCE_NAMES: Final = {str(number): name for number, name in _SOURCES.items()}
_DIGITS_MAX: Final = 19
_AGENT_TYPES: Final = (
    *("AGENT_STARTED", "POLICY_UPDATED", "POLICY_DELETED", "ENDPOINT_REGENERATE_SUCCESS"),
    *("ENDPOINT_REGENERATE_FAILURE", "ENDPOINT_CREATED", "ENDPOINT_DELETED", "IPCACHE_UPSERTED"),
    *("IPCACHE_DELETED", "SERVICE_UPSERTED", "SERVICE_DELETED"),
)
_AGENT_NAMES: Final = {str(number): name for number, name in enumerate(_AGENT_TYPES, 2)}
_VERBS: Final = {
    "_UPDATED": "update",
    "_UPSERTED": "update",
    "_CREATED": "create",
    "_DELETED": "delete",
}
_NOTIFICATIONS: Final = (
    *("policy_update", "endpoint_update", "endpoint_regenerate", "ipcache_update"),
    *("service_upsert", "service_delete", "agent_start"),
)
_POLICY_LABEL: Final = "k8s:io.cilium.k8s.policy."
_POLICY_KINDS: Final = {
    "NetworkPolicy": ("networkpolicies", "networking.k8s.io"),
    "CiliumNetworkPolicy": ("ciliumnetworkpolicies", "cilium.io"),
    "CiliumClusterwideNetworkPolicy": ("ciliumclusterwidenetworkpolicies", "cilium.io"),
}


class NodeEvent(NamedTuple):
    """The event columns of a line that is no flow, and what cannot be read of it."""

    kind: str
    time: int | None = None
    end_time: int | None = None
    about: str | None = None
    cause: str | None = None
    missing_min: int | None = None
    missing_max: int | None = None
    object_kind: str | None = None
    object_group: str | None = None
    object_namespace: str | None = None
    object_name: str | None = None
    object_uid: str | None = None
    object_version: str | None = None
    operation: str | None = None
    detail: str | None = None
    problems: tuple[str, ...] = ()
    refusal: str | None = None


NUMBERS: Final = frozenset({"time", "end_time", "missing_min", "missing_max"})
"""Columns of ``NodeEvent`` that are int64; the others are texts."""
COLUMNS: Final = NodeEvent._fields[: NodeEvent._fields.index("problems")]


def read_node_event(member: str, text: str, *, node: str | None, time: str | None) -> NodeEvent:
    """Read what stands in a line in place of a flow.

    Args:
        member: of ``schema.OTHERS``.
        text: its JSON.
        node: ``node_name`` of the line.
        time: ``time`` of the line.
    """
    said = parse_value(text)
    if not isinstance(said, Members):
        return NodeEvent(Kind.UNDECODED.value, refusal=f"{member} is not a JSON object")
    problems: list[str] = []
    time_ns = _time(time, "time of the line", problems)
    head = f'"node":{json.dumps(node, ensure_ascii=False)},' if node else ""
    event = NodeEvent(
        Kind.INFRASTRUCTURE.value, time=time_ns, detail=f'{{{head}"{member}":{text}}}'
    )
    if member == "lost_events":
        event = _read_loss(event, said, node, problems)
    elif member == "agent_event":
        event = _read_agent_event(event, said)
    elif member == "debug_event":
        event = event._replace(kind=Kind.LOG_RECORD.value)
    return event._replace(problems=tuple(sorted(problems)))


def _read_loss(event: NodeEvent, said: Members, node: str | None, problems: list[str]) -> NodeEvent:
    """Events that were lost at one place of a node between two moments.

    Nothing bounds how many where the number is absent or cannot be read.
    """
    told = _text(said, "num_events_lost")
    is_number = told is not None and told.isascii() and told.isdigit() and len(told) <= _DIGITS_MAX
    number = int(told) if told is not None and is_number else None
    if number is not None and number > INT64_MAX:
        number = None
    if told is not None and number is None:
        problems.append("num_events_lost is no number")
    first = _time(_text(said, "first"), "first", problems)
    last = _time(_text(said, "last"), "last", problems)
    # Older agents do not say when: it was before they said so.
    end_time = last if last is not None else event.time
    return event._replace(
        kind=Kind.GAP.value,
        time=first if first is not None else end_time,
        end_time=end_time,
        about=node or UNKNOWN_NODE,
        cause=CAUSES.get(named(_text(said, "source"), _SOURCE_NAMES) or "", CAUSE_UNKNOWN),
        missing_min=number or 0,
        missing_max=number,
    )


def _read_agent_event(event: NodeEvent, said: Members) -> NodeEvent:
    kind = named(_text(said, "type"), _AGENT_NAMES) or ""
    verbs = (verb for end, verb in _VERBS.items() if kind.endswith(end))
    event = event._replace(operation=next(verbs, None))
    found = ((name, _get(said, name)) for name in _NOTIFICATIONS)
    name, told = next(
        ((name, value) for name, value in found if isinstance(value, Members)), ("", Members([]))
    )
    if name == "policy_update" or kind in {"POLICY_UPDATED", "POLICY_DELETED"}:
        return _read_policy(event, told)
    objects = {"endpoint_update": "ciliumendpoints", "service_upsert": "services"}
    return event._replace(
        object_kind=objects.get(name),
        object_group="cilium.io" if name == "endpoint_update" else None,
        object_namespace=_text(told, "namespace"),
        object_name=_text(told, "pod_name") or _text(told, "name"),
    )


def _read_policy(event: NodeEvent, told: Members) -> NodeEvent:
    """A policy that an agent took up or let go; the labels say which."""
    labels = _get(told, "labels")
    names = [text for text in labels if isinstance(text, str)] if isinstance(labels, list) else []
    kinds = list(_labelled(names, "derived-from"))
    known = [_POLICY_KINDS.get(kind, (kind.lower(), None)) for kind in kinds]
    return event._replace(
        kind=Kind.CONFIG_CHANGE.value,
        object_kind=joined(kind for kind, _ in known),
        object_group=joined(group for _, group in known),
        object_namespace=joined(_labelled(names, "namespace")),
        object_name=joined(_labelled(names, "name")),
        object_uid=joined(_labelled(names, "uid")),
        object_version=_text(told, "revision"),
    )


def _labelled(labels: Iterable[str], name: str) -> Iterable[str]:
    start = f"{_POLICY_LABEL}{name}="
    return (label.removeprefix(start) for label in labels if label.startswith(start))


def _get(members: Members, name: str) -> object:
    """A member, in either spelling."""
    value = members.get(name)
    return value if value is not None else members.get(camel_case(name))


def _text(members: Members, name: str) -> str | None:
    text = members.text(name)
    return (text if text is not None else members.text(camel_case(name))) or None


def _time(text: str | None, name: str, problems: list[str]) -> int | None:
    time_ns = parse_time(text) if text is not None else None
    if text is not None and time_ns is None:
        problems.append(f"{name} is no time")
    return time_ns
