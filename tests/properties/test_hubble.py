"""Lines of Hubble: both mappers agree on any of them, and bytes of any kind become a row."""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded: a failure comes again
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.sources.hubble.flows import HEADERS
from meshtrail.sources.hubble.schema import OTHERS, POLICY_LISTS, camel_case
from tests.campaigns.byte_mutator import ByteMutator
from tests.hubble_lines import end, events, flow, http, line, policy, reply

MUTATIONS_COUNT = 2_000
LINES_AT_ONCE = 500

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_NUMBERS = st.integers(-2, 2**66) | st.sampled_from([1.5, 1e300, float("nan"), -0.0, 0, 80])
_TIMES = st.sampled_from(
    ["2026-02-03T04:05:06Z", "1970-01-01T00:00:00.000000001Z", "2026-02-30T00:00:00Z", "now", ""]
)
_SCALARS = _TEXTS | _NUMBERS | _NUMBERS.map(str) | st.booleans() | st.none() | _TIMES
_LABELS = st.sampled_from(
    [
        *("reserved:host", "reserved:", "k8s:version=", "k8s:version=1", "version=2", "k8s:a"),
        *("=", ":", "k8s:io.kubernetes.pod.namespace=n", "k8s:io.cilium.k8s.policy.cluster=c,d"),
    ]
)
_LISTS = st.lists(
    _SCALARS | _LABELS | st.builds(policy, st.sampled_from(["a", "b", ""])), max_size=3
)
_ANY = _SCALARS | _LISTS | st.dictionaries(_TEXTS, _SCALARS, max_size=2)
_ENUMS = st.sampled_from(
    [
        *("FORWARDED", "DROPPED", "ERROR", "AUDIT", "REDIRECTED", "NEW", "1", "2", 0, 2, 3, 4),
        *("POLICY_DENIED", "DROP_REASON_UNKNOWN", 133, 165, "INGRESS", "EGRESS", "L7", "REQUEST"),
        *("RESPONSE", "true", "false", True, False, 5, 99, 129),
    ]
)
_URLS = st.sampled_from(
    ["http://a:80/b?c?d", "/b", "a://u:p@h", "://", "?", "http://a@b@c/d", "\n/", "http:///x"]
)
_HEADERS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "key": st.sampled_from([*HEADERS, *(name.title() for name in HEADERS), "\u212a"])
            | _ANY,
            "value": st.sampled_from(
                ["application/grpc", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "0" * 32, "c" * 16]
            )
            | _ANY,
        },
    )
    | _SCALARS,
    max_size=5,
)
_ENDS = st.builds(
    end,
    st.just("web"),
    ID=_NUMBERS | st.none(),
    labels=st.lists(_LABELS | _SCALARS, max_size=3) | _ANY,
    workloads=_ANY,
    namespace=_ANY,
    cluster_name=_ANY,
)
_PORTS = st.fixed_dictionaries({}, optional={"source_port": _ANY, "destination_port": _ANY})
_L4 = st.dictionaries(
    st.sampled_from(["TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6", "VRRP"]), _PORTS | _ANY, max_size=2
)
_L7 = st.fixed_dictionaries(
    {"type": _ENUMS},
    optional={
        "latency_ns": _ANY,
        "dns": st.fixed_dictionaries({}, optional={"query": _ANY, "rcode": _ANY}) | _ANY,
        "kafka": _ANY,
        "http": st.fixed_dictionaries(
            {},
            optional={"url": _URLS | _ANY, "code": _ANY, "protocol": _ANY, "headers": _HEADERS},
        ),
    },
)
_CHANGES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("time", "uuid", "drop_reason", "auth_type", "policy_match_type"), _ANY),
        **dict.fromkeys(("node_name", "source_names", "policy_log", "trace_context"), _ANY),
        **dict.fromkeys(("verdict", "drop_reason_desc", "Type", "traffic_direction"), _ENUMS),
        **dict.fromkeys(("is_reply", "reply"), _ENUMS | st.none()),
        **dict.fromkeys(POLICY_LISTS, _LISTS | _ANY),
        **dict.fromkeys(("source", "destination"), _ENDS | _ANY),
        "l4": _L4,
        "l7": _L7 | _ANY,
        "event_type": st.fixed_dictionaries({"type": _ENUMS}) | _ANY,
        "IP": st.fixed_dictionaries({"source": st.sampled_from(["::1", "1.2.3.4", "a b"])}) | _ANY,
        "source_service": st.fixed_dictionaries({"name": _ANY}),
    },
)
_FLOWS = st.builds(lambda base, change: base | change, st.sampled_from([flow(), reply()]), _CHANGES)
_OTHERS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("source", "num_events_lost", "first", "last"), _ANY | _ENUMS),
        "type": st.integers(0, 13) | st.sampled_from(["POLICY_UPDATED", "SERVICE_DELETED"]) | _ANY,
        "policy_update": st.fixed_dictionaries({"labels": _ANY, "revision": _ANY}) | _ANY,
        "endpoint_update": st.fixed_dictionaries({"namespace": _ANY, "pod_name": _ANY}) | _ANY,
    },
)


def _respelled(said: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(said, dict):
        return {camel_case(key): _respelled(value) for key, value in said.items()}
    return [_respelled(one) for one in said] if isinstance(said, list) else said


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Any line, mostly of a flow."""
    member = draw(st.sampled_from(["flow"] * 8 + [*OTHERS]))
    said = draw(_ANY | _FLOWS if member == "flow" else _ANY | _OTHERS)
    around = draw(
        st.fixed_dictionaries({}, optional={"time": _TIMES, "node_name": _ANY, "flow": st.none()})
    )
    whole: object = {member: said, **around}
    if member == "flow" and not draw(st.integers(0, 7)):
        whole = said
    if not draw(st.integers(0, 3)):
        whole = _respelled(whole)
    before = draw(st.sampled_from([b""] * 8 + [b"2026-02-03T04:05:06Z stdout F ", b" "]))
    return before + json.dumps(whole).encode() + draw(st.sampled_from([b"", b"\r"]))


@settings(max_examples=100)
@given(st.lists(lines(), min_size=1, max_size=4))
def test_both_mappers_agree_on_any_line(drawn: list[bytes]) -> None:
    assert len(events(drawn)) == len(drawn)


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_bytes_of_any_kind_become_a_row(drawn: list[bytes]) -> None:
    assert {row["kind"] for row in events(drawn)} == {"undecoded"}


def test_usual_lines_with_a_piece_changed_are_read_alike() -> None:
    seeds = [
        line("flow", flow()),
        line("flow", reply(l7=http("RESPONSE", code=200), Type="L7")),
        line("lost_events", {"source": "HUBBLE_RING_BUFFER", "num_events_lost": "7"}),
        line("agent_event", {"type": "POLICY_UPDATED", "policy_update": {"revision": "5"}}),
    ]
    mutator = ByteMutator(seeds, random.Random(20_260_203))  # noqa: S311 - seeded, no secret
    mutated = [mutator.mutate() for _ in range(MUTATIONS_COUNT)]
    kinds = [
        row["kind"]
        for start in range(0, MUTATIONS_COUNT, LINES_AT_ONCE)
        for row in events(mutated[start : start + LINES_AT_ONCE])
    ]
    assert {"flow", "request", "gap", "config_change", "undecoded"} <= set(kinds)
