from __future__ import annotations

import json
from typing import Any

from meshtrail.sources.lines.envoy_json import NO_ACCESS_LOG
from meshtrail.sources.lines.envoy_json_reference import map_envoy_json_line
from meshtrail.sources.streams import StreamFacts
from tests.als_records import FRONTEND, PAYMENTS
from tests.otlp_records import request


def test_the_reference_attests_nothing_though_the_proxy_itself_sent_the_line() -> None:
    row: dict[str, Any] = {}
    facts = StreamFacts(spiffe_id=PAYMENTS, auth="mtls")
    map_envoy_json_line(json.dumps(request()).encode(), row, [], facts)
    assert (row["src_spiffe_id"], row["src_spiffe_id_trust"]) == (FRONTEND, "reported")
    assert row["decision_trust"] == "reported"


def test_the_reference_calls_other_lines_undecoded() -> None:
    row: dict[str, Any] = {}
    problems: list[str] = []
    map_envoy_json_line(b"{}", row, problems, StreamFacts())
    assert (row, problems) == ({"kind": "undecoded"}, [NO_ACCESS_LOG])
