"""What single values in a line of Hubble mean: enums, labels, policies.

Plain functions of one distinct value, shared by the columnar mapper and its row-wise reference.
Anything may be absent, since exporters leave fields out at will, and any value may be one that
this version does not know: it stays the text that it is.

Source: cilium/cilium api/v1/flow/flow.proto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.errors import InputError
from meshtrail.sources.json_reference import Members, parse_members

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshtrail.sources.json_reference import Value

VERDICTS: Final = {
    "0": "VERDICT_UNKNOWN",
    "1": "FORWARDED",
    "2": "DROPPED",
    "3": "ERROR",
    "4": "AUDIT",
    "5": "REDIRECTED",
    "6": "TRACED",
    "7": "TRANSLATED",
}
DROP_REASONS: Final = {
    "0": None,
    "DROP_REASON_UNKNOWN": None,
    "133": "POLICY_DENIED",
    "165": "NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION",
    "181": "POLICY_DENY",
    "189": "AUTH_REQUIRED",
}
"""Reasons of which a decision is read, by number; the others are told by their names alone."""
REASONS_OF_POLICIES: Final = ("POLICY_DENIED", "POLICY_DENY", "AUTH_REQUIRED")
REASON_UNDECIDED: Final = "NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION"
DIRECTIONS: Final = {"0": None, "TRAFFIC_DIRECTION_UNKNOWN": None, "1": "INGRESS", "2": "EGRESS"}
SIDES: Final = {"INGRESS": "destination", "EGRESS": "source"}
L7_TYPES: Final = {
    "0": None,
    "UNKNOWN_L7_TYPE": None,
    "1": "REQUEST",
    "2": "RESPONSE",
    "3": "SAMPLE",
}
FLOW_TYPES: Final = {"0": None, "UNKNOWN_TYPE": None, "1": "L3_L4", "2": "L7", "3": "SOCK"}
TYPE_L7: Final = "L7"
EVENT_POLICY_VERDICT: Final = "5"
EVENT_ACCESS_LOG: Final = "129"
TRUTHS: Final = {"true": True, "false": False}

_NAMESPACE_LABEL: Final = "io.kubernetes.pod.namespace"
_ACCOUNT_LABEL: Final = "io.cilium.k8s.policy.serviceaccount"
_CLUSTER_LABEL: Final = "io.cilium.k8s.policy.cluster"
_VERSION_LABELS: Final = ("version", "app.kubernetes.io/version")
_RESERVED: Final = "reserved"


def named(value: str | None, names: Mapping[str, str | None]) -> str | None:
    """An enum's value by its name, where it is written as a number or as nothing."""
    return names.get(value, value) if value is not None else None


class LabelFacts(NamedTuple):
    """What the labels of an endpoint say.

    Attributes:
        entity: of those that are no pods: world, host, remote-node …
    """

    namespace: str | None = None
    service_account: str | None = None
    cluster: str | None = None
    version: str | None = None
    entity: str | None = None


def read_labels(text: str) -> LabelFacts:
    """Read ``["k8s:app=x", "reserved:host"]``; of equal labels the first counts."""
    labels: dict[str, str] = {}
    entities: list[str] = []
    for label in _texts(parse_value(text)):
        source, colon, rest = label.partition(":")
        if colon and source == _RESERVED:
            entities.append(rest)
        key, equals, value = (rest if colon and source == "k8s" else label).partition("=")
        if equals and value:
            labels.setdefault(key, value)
    versions = (labels[key] for key in _VERSION_LABELS if key in labels)
    return LabelFacts(
        namespace=labels.get(_NAMESPACE_LABEL),
        service_account=labels.get(_ACCOUNT_LABEL),
        cluster=labels.get(_CLUSTER_LABEL),
        version=next(versions, None),
        entity=joined(entities),
    )


def read_workloads(text: str) -> str | None:
    """The names in ``[{"name": …, "kind": …}]``, joined by commas."""
    return joined(_members_of(parse_value(text), "name"))


class NodeFacts(NamedTuple):
    """A node's name taken apart."""

    node: str | None = None
    cluster: str | None = None


def read_node(name: str) -> NodeFacts:
    """Take ``cluster/node`` apart; most say the node alone."""
    cluster, slash, node = name.partition("/")
    return NodeFacts(node or None, cluster or None) if slash else NodeFacts(name or None)


class PolicyFacts(NamedTuple):
    """The policies of a list, each fact joined by commas, in their order, once.

    Attributes:
        are_there: whether the list names any.
        json: the list.
    """

    names: str | None = None
    namespaces: str | None = None
    kinds: str | None = None
    are_there: bool = False
    json: str | None = None


def read_policies(text: str) -> PolicyFacts:
    """Read ``[{"name": …, "namespace": …, "kind": …}]``."""
    policies = parse_value(text)
    if not isinstance(policies, list) or not policies:
        return PolicyFacts()
    return PolicyFacts(
        joined(_members_of(policies, "name")),
        joined(_members_of(policies, "namespace")),
        joined(_members_of(policies, "kind")),
        are_there=True,
        json=text,
    )


class DnsFacts(NamedTuple):
    """What is asked for and answered.

    Attributes:
        question: the name that is asked for, without the dot at its end.
        json: all of it.
    """

    question: str | None = None
    json: str | None = None


def read_dns(text: str) -> DnsFacts:
    """Read ``{"query": "name.", …}``."""
    dns = parse_value(text)
    if not isinstance(dns, Members):
        return DnsFacts()
    query = dns.text("query") or None
    return DnsFacts(query and (query.removesuffix(".") or query), text)


def keep_json(text: str) -> str | None:
    """The text where it is a JSON object or list."""
    value = parse_value(text)
    return text if isinstance(value, (Members, list)) else None


def joined(values: Iterable[str | None]) -> str | None:
    """Values joined by commas, in their order, each once; null where there are none."""
    return ",".join(dict.fromkeys(filter(None, values))) or None


def parse_value(text: str) -> Value:
    """A member that was kept as JSON; null where it is none."""
    try:
        return parse_members(b'{"value":%b}' % text.encode()).get("value")
    except InputError:
        return None


def _members_of(values: Value, name: str) -> list[str | None]:
    items = values if isinstance(values, list) else []
    return [item.text(name) for item in items if isinstance(item, Members)]


def _texts(values: Value) -> list[str]:
    items = values if isinstance(values, list) else []
    return [item for item in items if isinstance(item, str)]
