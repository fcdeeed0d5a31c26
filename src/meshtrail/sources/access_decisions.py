"""What policies decided: RBAC's own words and the details strings of refusals.

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
from meshtrail.sources.columns import map_distinct, plain, spread
from meshtrail.sources.envoy_values import read_denial, split_policy_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

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


class RbacWords:
    """What the RBAC filters of each row wrote."""

    def __init__(
        self, facts: Mapping[str, pa.Array], rows: npt.NDArray[np.int64], rows_count: int
    ) -> None:
        """Take what the filters wrote, flat.

        Args:
            facts: a column for each field of ``RbacFacts``, an element for each filter.
            rows: the row of each filter.
            rows_count: rows of the batch.
        """
        self._facts = facts
        self._rows = rows
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


def decide(rbac: RbacWords, *, details: pa.Array, termination: pa.Array) -> Decisions:
    """Decisions of requests or connections.

    Args:
        rbac: what the RBAC filters wrote.
        details: string[n], response code details.
        termination: string[n], connection termination details.
    """
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
