"""How Linkerd's proxies are told to say what they can: access log, denials, both as JSON.

Source: Linkerd 2.18, charts/linkerd-control-plane (proxy values, _proxy.tpl) and the proxy's
linkerd/app/inbound/src/policy; docs/sources/linkerd.md for what is read of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from meshtrail.wiring.arrival import POD_LOGS, Lines, format_arrival
from meshtrail.wiring.comments import format_comment
from meshtrail.wiring.values import check_namespace, quote

if TYPE_CHECKING:
    from meshtrail.wiring.values import Endpoint

LinkerdPart = Literal["values", "annotations"]

LINES: Final = Lines(record_format="linkerd", path=f"{POD_LOGS}/*/linkerd-proxy/*.log")
LOG_LEVEL: Final = "warn,linkerd=info"
"""Denials have the target ``linkerd_app_inbound::policy``, and the level info."""


def format_linkerd(collector: Endpoint, *, namespace: str, part: LinkerdPart | None = None) -> str:
    """The configuration as YAML documents.

    Args:
        collector: the HTTP door of meshtrail.
        namespace: whose pods the annotations are for.
        part: only values of the chart, or only annotations; None for both.
    """
    check_namespace(namespace, option="--namespace")
    documents = {
        "values": [_format_values()],
        "annotations": [_format_annotations(namespace)],
        None: [_format_values(), _format_annotations(namespace)],
    }[part]
    return f"{_format_head(collector)}---\n" + "---\n".join(documents)


def _format_head(collector: Endpoint) -> str:
    about = format_comment(
        "What Linkerd's proxies need to tell all that they can, made by `meshtrail emit-config "
        "linkerd`. The first document is values for the chart linkerd-control-plane, for every pod "
        "that is injected from then on; the second has the same for one namespace. Take either."
    )
    limits = format_comment(
        "What they still cannot say: what a pod called (lines are of inbound HTTP alone), who was "
        "called, that a request was allowed and by which policy, which request it was that was "
        "denied (method, path and id are in other lines), failed handshakes. traceparent is not "
        "read: only x-b3-traceid and x-request-id join a line to a trace. Metrics have the counts."
    )
    return f"{about}#\n{limits}#\n{format_arrival(LINES, collector)}"


def _format_values() -> str:
    return f"""\
# Values of linkerd-control-plane.
proxy:
  # A line for each request that comes in. Linkerd measured 5 % more CPU, and a longer tail of
  # latencies, at 20,000 requests a second.
  accessLog: json
  # `Request denied`, `Connection denied` and what ended as a policy changed come at info, with the
  # target linkerd_app_inbound::policy. At warn they are in no log.
  logLevel: {LOG_LEVEL}
  # A caller can write into a line of text what looks like a field of its own. Not so in JSON, which
  # in turn leaves out the port of a denied connection.
  logFormat: json
  # Lets everybody in, and writes a line for each request that no policy allows. Take it only where
  # the default is all-unauthenticated, as Linkerd's own is: it would open what deny and
  # all-authenticated close.
  # defaultInboundPolicy: audit
"""


def _format_annotations(namespace: str) -> str:
    return f"""\
# kubectl apply --server-side -f: adds to the namespace what stands here. On a Deployment the same
# annotations go into the template of its pods. Pods take them as they are made: restart them.
apiVersion: v1
kind: Namespace
metadata:
  name: {quote(namespace)}
  annotations:
    config.linkerd.io/access-log: json
    config.linkerd.io/proxy-log-level: {LOG_LEVEL}
    config.linkerd.io/proxy-log-format: json
    # As above: only where everybody is let in anyway.
    # config.linkerd.io/default-inbound-policy: audit
"""
