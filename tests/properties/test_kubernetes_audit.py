"""Events of the audit log: both derivations agree, whatever a record holds."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from meshtrail.model.entry import PayloadFormat
from tests.als_records import derive_both, entry

EVENT: dict[str, Any] = {
    "auditID": "841d3e6d-90d2-43df-8da4-684738bee3d5",
    "stage": "ResponseComplete",
    "verb": "patch",
    "user": {"username": "a", "groups": ["b"]},
    "sourceIPs": ["10.0.0.1"],
    "objectRef": {"resource": "namespaces", "name": "n"},
    "responseStatus": {"code": 200},
    "requestObject": {"metadata": {"labels": {"istio-injection": "disabled"}}},
    "requestReceivedTimestamp": "2026-01-02T03:04:05.000001Z",
}
VALUES = st.sampled_from([None, 7, "x", "\ud800", [], {}, [[1]], {"code": 7}, 1.5, True, "é" * 50])


def event(**changes: object) -> bytes:
    return json.dumps(EVENT | changes).encode()


@given(
    st.lists(
        st.dictionaries(st.sampled_from(sorted(EVENT)), VALUES, max_size=4).map(
            lambda changes: event(**changes)
        )
        | st.tuples(st.integers(0, 300), st.binary(max_size=3)).map(
            lambda cut: event()[: cut[0]] + cut[1] + event()[cut[0] :]
        ),
        min_size=1,
        max_size=5,
    )
)
def test_both_derivations_of_audit_events_agree_on_any_record(records: list[bytes]) -> None:
    rows = derive_both(*(entry(record, PayloadFormat.KUBERNETES_AUDIT_JSON) for record in records))
    assert [row["source"] for row in rows] == ["kubernetes-audit"] * len(records)
    for row in rows:
        assert row["kind"] != "undecoded" or row["decode_error"]
