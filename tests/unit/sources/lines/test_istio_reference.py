from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from meshtrail.sources.lines.istio_access import NO_ACCESS_LOG
from meshtrail.sources.lines.istio_reference import map_istio_json_line, map_istio_text_line
from meshtrail.sources.streams import StreamFacts
from tests.istio_lines import INBOUND, json_line, text_line

MapRecord = Callable[[bytes, dict[str, Any], list[str], StreamFacts], None]
SHIPPER = StreamFacts(spiffe_id="spiffe://cluster.local/ns/logs/sa/shipper", auth="mtls")


@pytest.mark.parametrize(
    ("map_line", "line", "trust"),
    [
        (map_istio_json_line, json_line(INBOUND), "reported"),
        (map_istio_text_line, text_line(INBOUND), "asserted"),
    ],
)
def test_the_reference_attests_nothing_for_a_shipper(
    map_line: MapRecord, line: bytes, trust: str
) -> None:
    row: dict[str, Any] = {}
    problems: list[str] = []
    map_line(line, row, problems, SHIPPER)
    assert (row["decision"], row["decision_trust"], row["src_ip"]) == ("denied", trust, "10.0.0.5")
    assert (row["src_spiffe_id"], row["dst_spiffe_id"], problems) == (None, None, [])


@pytest.mark.parametrize("map_line", [map_istio_json_line, map_istio_text_line])
def test_the_reference_calls_other_lines_undecoded(map_line: MapRecord) -> None:
    row: dict[str, Any] = {}
    problems: list[str] = []
    map_line(b"{}", row, problems, StreamFacts())
    assert (row, problems) == ({"kind": "undecoded"}, [NO_ACCESS_LOG])
