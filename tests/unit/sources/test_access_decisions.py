from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.sources.access_decisions import RbacWords, decide
from meshtrail.sources.envoy_messages import RbacFacts


def words(*filters: tuple[int, RbacFacts], rows_count: int = 1) -> RbacWords:
    """What filters wrote, each with its row."""
    facts = {
        name: pa.array([getattr(one, name) for _, one in filters], pa.string())
        for name in RbacFacts._fields
    }
    return RbacWords(facts, np.array([row for row, _ in filters], dtype=np.int64), rows_count)


@pytest.mark.parametrize(
    ("result", "details", "wanted"),
    [
        ("denied", None, "denied"),
        ("allowed", None, "allowed"),
        ("allowed", "rbac_access_denied", "denied"),
        ("denied", "ext_authz_error", "denied"),
        (None, "ext_authz_error", "error"),
        ("Allowed", None, "unknown"),
        (None, None, "unknown"),
    ],
)
def test_any_denial_counts_and_only_rbac_itself_allows(
    result: str | None, details: str | None, wanted: str
) -> None:
    nothing = pa.nulls(1, pa.string())
    for said, ended in (
        (pa.array([details], pa.string()), nothing),
        (nothing, pa.array([details], pa.string())),
    ):
        decided = decide(words((0, RbacFacts(result=result))), details=said, termination=ended)
        assert decided.decision.to_pylist() == [wanted]


def test_last_filter_that_has_a_word_counts_for_its_own_row() -> None:
    rbac = words(
        (0, RbacFacts(policy_id="a")),
        (0, RbacFacts(policy_id="b")),
        (0, RbacFacts()),
        (2, RbacFacts(policy_id="c")),
        rows_count=3,
    )
    assert rbac.last("policy_id").to_pylist() == ["b", None, "c"]
    assert rbac.last("policy_id", value="a").to_pylist() == ["a", None, None]
