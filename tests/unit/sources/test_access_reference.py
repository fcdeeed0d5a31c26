from __future__ import annotations

from typing import Any

import pytest

from meshtrail.sources.access_reference import AccessRow
from meshtrail.sources.streams import StreamFacts


def access_row() -> tuple[AccessRow, dict[str, Any], list[str]]:
    row: dict[str, Any] = {}
    problems: list[str] = []
    return AccessRow(row, problems, StreamFacts()), row, problems


def test_end_that_does_not_fit_is_told() -> None:
    access, row, problems = access_row()
    row |= {"time": 2**63 - 1, "duration": 1}
    access.tell_end()
    assert "end_time" not in row
    assert problems == ["end of the happening does not fit"]


@pytest.mark.parametrize(
    ("received", "reason", "ends_tls", "kind", "trust"),
    [
        (0, "TLS_error", True, "handshake", "asserted"),
        (0, "TLS_error", False, "connection", "asserted"),
        (1, "TLS_error", True, "connection", "attested"),
        (0, None, True, "connection", "asserted"),
    ],
)
def test_handshake_failed_where_nothing_came_in(
    *, received: int, reason: str | None, ends_tls: bool, kind: str, trust: str
) -> None:
    access, row, _ = access_row()
    access.ends_tls = ends_tls
    row |= {
        "bytes_received": received,
        "envoy_downstream_transport_failure": reason,
        "envoy_upstream_transport_failure": None,
        "envoy_access_log_type": None,
        "envoy_response_flags": None,
        "src_spiffe_id_trust": "attested",
    }
    access.tell_handshake()
    assert (row["kind"], row["src_spiffe_id_trust"]) == (kind, trust)


def test_refused_row_tells_only_why() -> None:
    access, row, problems = access_row()
    access.refuse([None, "a", "b"])
    assert (row, problems) == ({"kind": "undecoded"}, ["a", "b"])
