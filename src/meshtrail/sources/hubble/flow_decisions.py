"""What network policies decided about flows, as far as a line says so.

A packet that was forwarded was not allowed by anything unless a policy is named, or the line is a
policy's verdict. One that was dropped was denied only where a policy is the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Decision, Trust
from meshtrail.sources.columns import mask_null, plain, read_distinct
from meshtrail.sources.hubble.schema import POLICY_LISTS
from meshtrail.sources.hubble.values import (
    EVENT_POLICY_VERDICT,
    REASON_UNDECIDED,
    REASONS_OF_POLICIES,
    PolicyFacts,
    read_policies,
)

if TYPE_CHECKING:
    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.hubble.json_objects import JsonObjects
    from meshtrail.sources.hubble.lines import HubbleLines

    Columns = dict[str, pa.Array]

BY_PROXY: Final = "proxy"
"""What a denial was read from where the proxy for layer 7 dropped a request."""
BY_NAME: Final = {"allowed": "allowed_by", "denied": "denied_by"}
BY_VERDICT: Final = "policy-verdict"
_S: Final = pa.string()


def tell_decisions(
    out: EventColumns,
    lines: HubbleLines,
    *,
    verdict: pa.Array,
    reason: pa.Array,
    is_l7: pa.Array,
    detail: JsonObjects,
) -> None:
    """Decision, policies and what both were read from.

    Args:
        out: what to fill.
        lines: of Hubble.
        verdict: string[n], by its name.
        reason: string[n], why a packet was dropped, by its name where it has one.
        is_l7: bool[n], whether a proxy for layer 7 wrote the line.
        detail: what to tell more of.
    """
    lists = {
        name: read_distinct(lines.flow(name), read_policies, PolicyFacts) for name in POLICY_LISTS
    }
    for name, facts in lists.items():
        detail.add_json(name, facts["json"])
    allowing, denying = _joined(lists, "allowed"), _joined(lists, "denied")
    is_dropped = _is(verdict, "DROPPED")
    is_denied = pc.and_(
        is_dropped,
        pc.or_(
            pc.or_(denying["are_there"], pc.is_in(reason, pa.array(REASONS_OF_POLICIES))),
            pc.and_(is_l7, pc.is_null(reason)),
        ),
    )
    is_undecided = pc.and_(is_dropped, _is(reason, REASON_UNDECIDED))
    is_error = pc.or_(_is(verdict, "ERROR"), pc.and_not(is_undecided, is_denied))
    is_verdict = _is(lines.flow("event_type", "type"), EVENT_POLICY_VERDICT)
    is_allowed = pc.and_(_is(verdict, "FORWARDED"), pc.or_(allowing["are_there"], is_verdict))
    cases = pc.make_struct(is_denied, is_error, is_allowed)
    decision = pc.case_when(cases, *(pa.scalar(one.value) for one in _ORDER), _UNKNOWN)
    columns = out.columns
    columns["decision"] = decision
    columns["decision_trust"] = pc.if_else(
        pc.not_equal(decision, Decision.UNKNOWN.value), Trust.REPORTED.value, _NOTHING
    )
    columns["decision_reason"] = pc.case_when(
        cases,
        _reason_of_denial(reason, denying["are_there"]),
        pc.coalesce(reason, verdict),
        pc.if_else(allowing["are_there"], BY_NAME["allowed"], BY_VERDICT),
    )
    is_audit = _is(verdict, "AUDIT")
    columns["dry_run_decision"] = pc.if_else(is_audit, Decision.DENIED.value, _NOTHING)
    columns["dry_run_policy"] = mask_null(denying["names"], is_audit)
    for column, fact in (("name", "names"), ("namespace", "namespaces"), ("kind", "kinds")):
        chosen = pc.if_else(is_dropped, denying[fact], allowing[fact])
        columns[f"policy_{column}"] = mask_null(chosen, pc.invert(is_audit))
    for name in ("policy_name", "policy_namespace"):
        columns[name] = pc.dictionary_encode(columns[name])


_ORDER: Final = (Decision.DENIED, Decision.ERROR, Decision.ALLOWED)
_UNKNOWN: Final = pa.scalar(Decision.UNKNOWN.value)
_NOTHING: Final = pa.scalar(None, _S)


def _reason_of_denial(reason: pa.Array, is_named: pa.Array) -> pa.Array:
    return pc.coalesce(reason, pc.if_else(is_named, BY_NAME["denied"], BY_PROXY))


def _is(column: pa.Array, value: str) -> pa.Array:
    return pc.fill_null(pc.equal(column, value), fill_value=False)


def _joined(lists: dict[str, Columns], what: str) -> Columns:
    """The policies of both directions: those of the way out first."""
    egress, ingress = lists[f"egress_{what}_by"], lists[f"ingress_{what}_by"]
    found: Columns = {"are_there": pc.or_(egress["are_there"], ingress["are_there"])}
    for fact in ("names", "namespaces", "kinds"):
        one, other = plain(egress[fact]), plain(ingress[fact])
        both = pc.binary_join_element_wise(one, other, ",")
        found[fact] = pc.coalesce(both, one, other)
    return found
