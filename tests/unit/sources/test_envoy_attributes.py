from __future__ import annotations

import numpy as np
import pyarrow as pa

from meshtrail.sources.envoy_attributes import AttributeFacts, is_of_request, map_attributes
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.streams import unknown_reporters

NO_IDS = (pa.nulls(1, pa.binary(16)), pa.nulls(1, pa.binary(8)))


class Said(AttributeFacts):
    """Attributes of one request, wherever they came from."""

    def __init__(self, **said: str) -> None:
        self.rows_count = 1
        self.is_envoy = self.is_request = np.array([True])
        self._said = {f"envoy.{key}": value for key, value in said.items()}

    def text(self, key: str) -> pa.Array:
        return pa.array([self._said.get(key)], pa.string())


def test_whatever_holds_attributes_becomes_columns() -> None:
    said = Said(duration="1.5ms", upstream_cluster="inbound|80||", bytes_sent="x")
    out = EventColumns(1, {"time": pa.array([10], pa.int64())})
    map_attributes(said, out, unknown_reporters(1), beside=NO_IDS)
    assert {name: out.columns[name].to_pylist() for name in ("kind", "side", "end_time")} == {
        "kind": ["request"],
        "side": ["destination"],
        "end_time": [1_500_010],
    }
    assert [reason for reason, where in out.problems.items() if where[0].as_py()] == [
        "envoy.bytes_sent is not a number"
    ]


def test_types_say_what_a_record_is_of() -> None:
    types = pa.array(["DownstreamEnd", "UpstreamEnd", "TcpConnectionEnd", "NotSet", None])
    assert is_of_request(types).tolist() == [True, True, False, False, False]
