"""What the record of a connection says of its TLS handshake: whether it failed, or was done.

Envoy does not say which connections finished their handshake. It gives a reason for those that
failed, but also where a TLS inspector met plaintext that was welcome, and where a connection broke
later. A byte that came in is the one proof that a handshake was done: bytes that went out are
counted when the upstream sends them, which some do at once. Without such proof the caller's
certificate proves nothing either: it is public, and Envoy reports it as soon as it has come, before
the caller has shown that it holds the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Kind, Trust
from meshtrail.sources.columns import plain
from meshtrail.sources.tls_failures import map_failures

if TYPE_CHECKING:
    from meshtrail.sources.event_columns import EventColumns

_NO_FILTER_CHAIN: Final = r"(^|,)NR(,|$)"
LASTING: Final = ("TcpConnectionStart", "TcpUpstreamConnected", "TcpPeriodic")
"""Moments at which a connection has not ended, whatever a TLS inspector says of it."""


def judge_handshakes(out: EventColumns, *, ends_tls: pa.Array) -> None:
    """Set ``kind``, ``tls_failure`` and the caller's trust of TCP records.

    Args:
        out: with the bytes, Envoy's columns and the identities set.
        ends_tls: bool[n], whether the listener ends TLS.
    """
    columns = out.columns
    reason = columns["envoy_downstream_transport_failure"]
    columns["tls_failure"] = map_failures(
        pc.coalesce(reason, columns["envoy_upstream_transport_failure"])
    )
    silent = pc.equal(pc.fill_null(columns["bytes_received"], 0), 0)
    failed = pc.and_(silent, pc.is_valid(reason))
    if failed.true_count:
        # A listener that ends no TLS, but inspects: plaintext is fine there, unless it is what no
        # filter chain would take.
        untaken = pc.match_substring_regex(plain(columns["envoy_response_flags"]), _NO_FILTER_CHAIN)
        failed = pc.and_(failed, pc.or_(ends_tls, pc.fill_null(untaken, fill_value=False)))
        lasts = pc.is_in(plain(columns["envoy_access_log_type"]), pa.array(LASTING))
        failed = pc.and_(failed, pc.invert(lasts))
    columns["kind"] = pc.if_else(failed, Kind.HANDSHAKE.value, Kind.CONNECTION.value)
    trust = columns["src_spiffe_id_trust"]
    is_from_certificate = pc.is_in(trust, pa.array([Trust.ATTESTED.value, Trust.REPORTED.value]))
    unproven = pc.and_(silent, is_from_certificate)
    if unproven.true_count:
        columns["src_spiffe_id_trust"] = pc.if_else(unproven, Trust.ASSERTED.value, trust)
