"""What policies decided: RBAC's dynamic metadata and the details strings of refusals.

A denial from either source counts, a missing decision is unknown, and nothing makes it allowed
but RBAC's own word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Decision
from meshtrail.sources.columns import Entries, map_distinct, plain, read_distinct, spread
from meshtrail.sources.envoy_messages import RbacFacts, read_rbac
from meshtrail.sources.envoy_values import read_denial, split_policy_id

if TYPE_CHECKING:
    import numpy.typing as npt

RBAC_FILTERS: Final = ("envoy.filters.http.rbac", "envoy.filters.network.rbac")
_S: Final = pa.string()


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decision columns, and why metadata could not be read; string[n] each."""

    decision: pa.Array
    policy_id: pa.Array
    reason: pa.Array
    dry_run_decision: pa.Array
    dry_run_policy: pa.Array
    problem: pa.Array

    def columns(self) -> dict[str, pa.Array]:
        """As event columns, the policy id taken apart."""
        name, namespace, rule = map_distinct(self.policy_id, split_policy_id, [_S, _S, _S])
        return {
            "decision": self.decision,
            "policy_name": name,
            "policy_namespace": namespace,
            "policy_rule": rule,
            "decision_reason": self.reason,
            "dry_run_decision": self.dry_run_decision,
            "dry_run_policy": self.dry_run_policy,
        }


def read_decisions(metadata: pa.Array, *, details: pa.Array, termination: pa.Array) -> Decisions:
    """Decisions of requests or connections.

    Args:
        metadata: the shim of ``Metadata.filter_metadata``, a list of entries for each row.
        details: string[n], response code details.
        termination: string[n], connection termination details.
    """
    rows_count = len(details)
    rbac = _RbacMetadata(metadata, rows_count)
    result = rbac.last("result")
    denied_in_shadow = rbac.last("dry_run_result", value="denied")
    said, policy, reason = map(plain, map_distinct(details, read_denial, [_S, _S, _S]))
    of_tcp = map_distinct(termination, read_denial, [_S, _S, _S])
    said_tcp, policy_tcp, reason_tcp = map(plain, of_tcp)
    refusal = pc.coalesce(said, said_tcp)
    from_metadata = pc.if_else(
        pc.is_in(result, pa.array(["allowed", "denied"])), result, pa.scalar(None, _S)
    )
    metadata_denies = pc.fill_null(pc.equal(from_metadata, "denied"), fill_value=False)
    decision = pc.if_else(
        metadata_denies, Decision.DENIED.value, pc.coalesce(refusal, from_metadata)
    )
    by_rbac = pc.if_else(pc.is_valid(from_metadata), "rbac", pa.scalar(None, _S))
    return Decisions(
        decision=pc.fill_null(decision, Decision.UNKNOWN.value),
        policy_id=pc.coalesce(rbac.last("policy_id"), policy, policy_tcp),
        reason=pc.coalesce(reason, reason_tcp, by_rbac),
        dry_run_decision=pc.coalesce(denied_in_shadow, rbac.last("dry_run_result")),
        dry_run_policy=rbac.last("dry_run_policy_id"),
        problem=rbac.last("problem"),
    )


class _RbacMetadata:
    """What the RBAC filters of each row wrote."""

    def __init__(self, metadata: pa.Array, rows_count: int) -> None:
        outer = Entries(metadata)
        chosen = outer.where(pc.is_in(outer.field("key"), pa.array(RBAC_FILTERS)))
        # Equal keys: a protobuf map keeps the last, so only the last of each filter counts.
        chosen = _last_of_each(outer, chosen)
        self._facts = read_distinct(
            outer.field("value").take(pa.array(chosen)), read_rbac, RbacFacts
        )
        self._rows = outer.rows[chosen]
        self._rows_count = rows_count

    def last(self, name: str, value: str | None = None) -> pa.Array:
        """A fact by the last filter that has it.

        Args:
            name: of ``RbacFacts``.
            value: look only at filters that have this one.
        """
        column = plain(self._facts[name])
        mask = pc.is_valid(column) if value is None else pc.equal(column, value)
        positions = np.flatnonzero(np.asarray(pc.fill_null(mask, fill_value=False)))
        return spread(column, self._rows, positions, self._rows_count)


def _last_of_each(outer: Entries, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Of positions with the same row and key, the last; order kept."""
    keys = np.asarray(
        pc.index_in(outer.field("key").take(pa.array(positions)), pa.array(RBAC_FILTERS))
    ).astype(np.int64)
    slot = outer.rows[positions] * len(RBAC_FILTERS) + keys
    _, reversed_first = np.unique(slot[::-1], return_index=True)
    kept: npt.NDArray[np.int64] = np.sort(positions[::-1][reversed_first])
    return kept
