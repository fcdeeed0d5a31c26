"""The JSON of Envoy's access log for meshes that come with an Envoy of their own.

The keys are those of ``model.otlp_attributes``, which ``sources.lines.envoy_json`` reads. The
operators are such as older Envoys know, and as Kuma's control plane lets through, which takes
arguments of few of them. An operator that a proxy does not know costs it its listeners.

Source: Envoy, "Access logging", format operators; Kuma, pkg/envoy/accesslog/v3.
"""

from __future__ import annotations

from typing import Final

from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE, Told

_OTHERWISE: Final = {
    # To the millisecond; in nanoseconds only CEL gives it.
    "CEL(request.duration)": "%DURATION%ms",
    # The same reasons, with _ for each blank.
    "CEL(upstream.transport_failure_reason)": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "CEL(connection.transport_failure_reason)": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
    "RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)": "%RESPONSE_CODE_DETAILS%",
    # The name that the cluster has in statistics, which is nearly always its own.
    "UPSTREAM_CLUSTER_RAW": "%UPSTREAM_CLUSTER%",
}
"""By operator: what says nearly the same without arguments, or in older Envoys."""

_WITHOUT: Final = ("COMMON_DURATION(",)
"""Operators that nothing can stand for."""

WHAT_LACKS: Final = (
    "Of what meshtrail's own format has, they lack durations in nanoseconds (they are to the "
    "millisecond), and when request and answer began to flow."
)
"""What events of such lines lack, as a comment."""


def mesh_operators(told: Told, *, is_json: bool = True) -> dict[str, str]:
    """Key to format, percent signs and all.

    Args:
        told: what the lines are of; for lines of both kinds, both.
        is_json: whether time and trace are to be asked for; a log record of OTLP has them anyway.
    """
    beside = BESIDE if is_json else {}
    asked = beside | {one.key: one.operator for one in ATTRIBUTES if told & one.told}
    return {
        key: _OTHERWISE.get(operator, f"%{operator}%")
        for key, operator in asked.items()
        if not operator.startswith(_WITHOUT)
    }
