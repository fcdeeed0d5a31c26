from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2

from meshtrail.model.entry import EntryFlags, prefix_payload
from meshtrail.sources.derive import derive_events
from meshtrail.sources.reference import derive_reference
from meshtrail.sources.streams import Streams
from meshtrail.units import LeafIndex
from tests.als_records import derive, entry

HTTP_RBAC, NETWORK_RBAC = "envoy.filters.http.rbac", "envoy.filters.network.rbac"


def decided(*filters: tuple[str, dict[str, str]], details: str = "") -> dict[str, Any]:
    """The event of a record whose metadata has these filters in this order; equal ones stay two."""
    parts = []
    for name, fields in filters:
        part = accesslog_pb2.HTTPAccessLogEntry()
        for key, value in fields.items():
            part.common_properties.metadata.filter_metadata[name][key] = value
        parts.append(part.SerializeToString())
    said = accesslog_pb2.HTTPAccessLogEntry()
    said.response.response_code_details = details
    (row,) = derive(entry(b"".join([*parts, said.SerializeToString()])))
    return row


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        ([(HTTP_RBAC, "allowed")], "allowed"),
        ([(HTTP_RBAC, "denied")], "denied"),
        ([(NETWORK_RBAC, "denied")], "denied"),
        ([(HTTP_RBAC, "allowed"), (NETWORK_RBAC, "denied")], "denied"),
        ([(HTTP_RBAC, "denied"), (HTTP_RBAC, "allowed")], "allowed"),
        ([(HTTP_RBAC, "")], "unknown"),
        ([(HTTP_RBAC, "Denied")], "unknown"),
        ([("other", "allowed")], "unknown"),
        ([], "unknown"),
    ],
)
def test_rbac_decides_by_its_last_word(results: list[tuple[str, str]], wanted: str) -> None:
    filters = [(name, {"enforced_engine_result": result}) for name, result in results]
    assert decided(*filters)["decision"] == wanted


def test_of_equal_filters_only_the_last_counts_with_all_its_fields() -> None:
    first = {"enforced_engine_result": "denied", "enforced_effective_policy_id": "p"}
    row = decided((HTTP_RBAC, first), (HTTP_RBAC, {"shadow_engine_result": "allowed"}))
    assert row["decision"] == "unknown"
    assert "policy_name" not in row
    assert row["dry_run_decision"] == "allowed"


def test_a_denial_in_the_details_wins_over_an_allowance() -> None:
    allowed = (HTTP_RBAC, {"enforced_engine_result": "allowed"})
    assert decided(allowed, details="ext_authz_denied")["decision"] == "denied"
    assert decided(allowed, details="via_upstream")["decision"] == "allowed"


def test_one_denial_among_several_dry_runs_makes_it_denied() -> None:
    for order in itertools.permutations(["allowed", "denied", "other"]):
        fields = {f"{at}_shadow_engine_result": word for at, word in enumerate(order)}
        assert decided((HTTP_RBAC, fields))["dry_run_decision"] == "denied"


def test_metadata_of_thousands_of_equal_filters_is_read_in_one_pass() -> None:
    # Each compared with all behind it, this would take minutes.
    part = accesslog_pb2.HTTPAccessLogEntry()
    part.common_properties.metadata.filter_metadata[HTTP_RBAC]["enforced_engine_result"] = "denied"
    whole = part.SerializeToString() * 50_000
    large = entry(prefix_payload(whole), flags=EntryFlags.PREFIX)
    for derive_rows in (derive_events, derive_reference):
        events = derive_rows(
            pa.array([large], pa.binary()),
            log="o",
            start=LeafIndex(0),
            streams=Streams(),
            read_blob=lambda _: whole,
        )
        assert events.column("decision").to_pylist() == ["denied"]


def test_columns_without_any_metadata_are_read() -> None:
    rows = derive(entry(b""), entry(b"", seq=2))
    assert [row["decision"] for row in rows] == ["unknown", "unknown"]
    assert pa.array([row.get("decision_trust") for row in rows]).null_count == 2
