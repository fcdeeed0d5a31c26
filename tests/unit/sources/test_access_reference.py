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
    ("received", "reason", "kind"),
    [(0, "TLS_error", "handshake"), (1, "TLS_error", "connection"), (0, None, "connection")],
)
def test_handshake_failed_where_nothing_could_be_said(
    received: int, reason: str | None, kind: str
) -> None:
    access, row, _ = access_row()
    row |= {
        "bytes_received": received,
        "bytes_sent": None,
        "envoy_downstream_transport_failure": reason,
    }
    access.tell_kind_of_connection()
    assert row["kind"] == kind


def test_refused_row_tells_only_why() -> None:
    access, row, problems = access_row()
    access.refuse([None, "a", "b"])
    assert (row, problems) == ({"kind": "undecoded"}, ["a", "b"])
