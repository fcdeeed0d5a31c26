"""The row-wise reference of ``access_rules``: what follows from one access log record.

Slow and plain on purpose. It follows docs/formats/event.md and shares with the columnar rules only
the meaning of single values (``envoy_values``) and the stream facts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from meshtrail.model.users import USER_HEADERS
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.conflicts import format_other_identity
from meshtrail.sources.custom_tags import SEVERAL_NAMES, read_upstream_name
from meshtrail.sources.handshakes import LASTING
from meshtrail.sources.reference_parts import read_ids
from meshtrail.sources.tls_failures import read_failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from meshtrail.sources.streams import StreamFacts

_INT64_MAX: Final = 2**63 - 1
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

Row = dict[str, Any]
Payloads = dict[str, dict[str, str]]
"""Claims that are texts, of each payload by its key."""
SocketFacts = tuple[str | None, int | None]
"""IP and port."""


class RbacSource(Protocol):
    """What the RBAC filters of a record wrote."""

    def last(self, suffix: str, value: str | None = None) -> str | None:
        """The value of the last field whose key ends so and that is not empty."""


class AccessRow:
    """Fills the row of one access log record from facts that were read of it."""

    def __init__(self, row: Row, problems: list[str], facts: StreamFacts) -> None:
        self.row = row
        self.problems = problems
        self.facts = facts
        self.callee: str | None = None
        self.ends_tls = False

    def refuse(self, reasons: Iterable[str | None]) -> None:
        """Tell nothing of the record but why it could not be read."""
        self.row["kind"] = "undecoded"
        self.problems += filter(None, reasons)

    def tell_end(self) -> None:
        """``end_time``."""
        time, duration = self.row["time"], self.row["duration"]
        if time is not None and duration is not None:
            if time + duration <= _INT64_MAX:
                self.row["end_time"] = time + duration
            else:
                self.problems.append("end of the happening does not fit")

    def tell_path(self, path: str | None, *, content_type: str | None) -> None:
        """Path, query and what a gRPC call is of."""
        row = self.row
        if path:
            row["url_path"], mark, query = path.partition("?")
            row["url_query"] = query if mark else None
        row["http_request_content_type"] = content_type
        if content_type and content_type.startswith("application/grpc") and path:
            row["rpc_method"] = row["url_path"][1:]

    def tell_grpc_status(self, status: str | None) -> None:
        """``rpc_grpc_status_code``."""
        if status and re.fullmatch(r"[0-9]{1,3}", status):
            self.row["rpc_grpc_status_code"] = int(status)

    def tell_correlation(self, headers: dict[str, str], request_id: str | None) -> None:
        """Trace, span and request id."""
        row = self.row
        row["trace_id"], row["span_id"] = read_ids(headers)
        row["trace_id_trust"] = "asserted" if row["trace_id"] else None
        if request_id:
            row["request_id_trust"] = "asserted"
            if _UUID.fullmatch(request_id):
                row["request_id"] = bytes.fromhex(request_id.replace("-", ""))
            else:
                row["request_id_text"] = request_id

    def tell_identities(
        self, callers: Sequence[str], callees: Sequence[str], *, upstream: bytes
    ) -> None:
        """Both ends, from the URI SANs of the peer's certificate and of the proxy's own.

        Args:
            callers: of the peer's certificate.
            callees: of the proxy's own.
            upstream: of the upstream's certificate, as Envoy joins them.
        """
        row, facts = self.row, self.facts
        caller, callee = self._only(callers, "peer"), self._only(callees, "local")
        row["side"] = self.side(caller)
        is_held = facts.is_authenticated and callee == facts.spiffe_id
        if facts.is_authenticated and row["side"] == "destination" and callee and not is_held:
            other = format_other_identity(callee, facts.spiffe_id or "", facts.conflict)
            row["reporter_conflict"] = other
        label = "attested" if is_held else "reported"
        refused = row["envoy_downstream_transport_failure"] is not None
        caller_label = "asserted" if refused else label
        row["src_spiffe_id"], row["src_spiffe_id_trust"] = caller, caller_label if caller else None
        if row["side"] == "source" and caller is None and facts.spiffe_id is not None:
            row["src_spiffe_id"], row["src_spiffe_id_trust"] = facts.spiffe_id, "derived"
        row["dst_spiffe_id"], row["dst_spiffe_id_trust"] = callee, label if callee else None
        self.callee = callee
        if row["side"] == "source":
            self._upstream(upstream)
        for end in ("src", "dst"):
            parts = envoy.split_spiffe_id(row[f"{end}_spiffe_id"])
            row[f"{end}_trust_domain"] = parts.trust_domain
            row[f"{end}_namespace"] = parts.namespace
            row[f"{end}_service_account"] = parts.service_account

    def side(self, caller: str | None) -> str | None:
        """Which end reports, by the caller's certificate and Envoy's names."""
        return envoy.side_of(
            upstream_cluster=self.row["envoy_upstream_cluster"],
            has_peer_certificate=caller is not None,
            has_downstream_tls=self.ends_tls,
        )

    def tell_addresses(
        self,
        *,
        peer: SocketFacts,
        local: SocketFacts,
        upstream: SocketFacts,
        upstream_local: SocketFacts,
    ) -> None:
        """The physical peer, the callee, and where the proxy called its upstream from."""
        row = self.row
        callee = upstream if row["side"] == "source" else local
        for end, (ip, port) in (
            ("src", peer),
            ("dst", callee),
            ("envoy_upstream_local", upstream_local),
        ):
            row[f"{end}_ip"], row[f"{end}_port"] = ip, port

    def tell_decision(self, rbac: RbacSource) -> None:
        """What policies decided."""
        row = self.row
        result = rbac.last("enforced_engine_result")
        said = envoy.read_denial(row.get("envoy_response_code_details"))
        said_tcp = envoy.read_denial(row["envoy_connection_termination_details"])
        word = result if result in ("allowed", "denied") else None
        refusal = said.decision or said_tcp.decision
        row["decision"] = "denied" if word == "denied" else refusal or word or "unknown"
        policy = rbac.last("enforced_effective_policy_id") or said.policy_id or said_tcp.policy_id
        parts = envoy.split_policy_id(policy)
        row["policy_name"], row["policy_namespace"], row["policy_rule"] = parts
        row["decision_reason"] = said.reason or said_tcp.reason or ("rbac" if word else None)
        shadow = rbac.last("shadow_engine_result", "denied") or rbac.last("shadow_engine_result")
        row["dry_run_decision"] = shadow
        row["dry_run_policy"] = rbac.last("shadow_effective_policy_id")
        if row["decision"] != "unknown":
            is_held = self.facts.is_authenticated and self.callee in (None, self.facts.spiffe_id)
            row["decision_trust"] = "attested" if is_held else "reported"

    def tell_user(self, payloads: Payloads, headers: Mapping[str, str]) -> None:
        """The user: by verified tokens, else by a header.

        Args:
            payloads: of verified tokens; none where they cannot be read.
            headers: that were logged, by name.
        """
        row = self.row
        named = [
            (claims["sub"], claims.get("iss") or None)
            for _, claims in sorted(payloads.items())
            if claims.get("sub")
        ]
        said = [headers.get(name) for name in USER_HEADERS]
        if named:
            row["user_id"], row["user_issuer"] = named[0]
            is_held = self.facts.is_authenticated and self.callee in (None, self.facts.spiffe_id)
            row["user_id_trust"] = "attested" if is_held else "reported"
        elif any(said):
            row["user_id"] = next(filter(None, said))
            row["user_id_trust"] = "asserted"
        if len(set(named)) > 1:
            self.problems.append("verified tokens of several users")

    def tell_handshake(self) -> None:
        """Whether the handshake of a connection failed, why, and what that makes of its caller."""
        row = self.row
        reason = row["envoy_downstream_transport_failure"]
        row["tls_failure"] = read_failure(reason or row["envoy_upstream_transport_failure"])
        is_proven = (row["bytes_received"] or 0) > 0
        has_ended = row["envoy_access_log_type"] not in LASTING
        is_untaken = "NR" in (row["envoy_response_flags"] or "").split(",")
        failed = (
            reason is not None and not is_proven and has_ended and (self.ends_tls or is_untaken)
        )
        row["kind"] = "handshake" if failed else "connection"
        if not is_proven and row["src_spiffe_id_trust"] in ("attested", "reported"):
            row["src_spiffe_id_trust"] = "asserted"

    def _upstream(self, names: bytes) -> None:
        """The callee of a source-side record is its upstream; several names are none."""
        row = self.row
        upstream = read_upstream_name(names)
        if upstream.has_many:
            self.problems.append(SEVERAL_NAMES)
        label = None
        if upstream.uri is not None:
            is_held = self.facts.is_authenticated and self.callee in (None, self.facts.spiffe_id)
            label = "attested" if is_held else "reported"
            if row["envoy_upstream_transport_failure"] is not None:
                label = "asserted"
        row["dst_spiffe_id"], row["dst_spiffe_id_trust"] = upstream.uri, label

    def _only(self, uris: Sequence[str], whose: str) -> str | None:
        if len(uris) > 1:
            self.problems.append(f"{whose} certificate with several URI SANs")
        return uris[0] if len(uris) == 1 else None
