from __future__ import annotations

import pyarrow as pa

from meshtrail.model.event import Trust
from meshtrail.sources.event_columns import EventColumns


def test_a_row_that_was_refused_or_cannot_be_decoded_says_that_alone() -> None:
    out = EventColumns(4)
    out.columns["kind"] = pa.array(["request"] * 4)
    out.columns["url_path"] = pa.array(["/a", "/b", "/c", "/d"])
    out.note(pa.array(["odd", "odd", None, "odd"]))
    out.refuse(pa.array([None, "lies", None, None]))
    out.blank_refused({3: "no protobuf"})
    assert out.columns["kind"].to_pylist() == ["request", "undecoded", "request", "undecoded"]
    assert out.columns["url_path"].to_pylist() == ["/a", None, "/c", None]
    assert {name: where.to_pylist() for name, where in out.problems.items()} == {
        "odd": [True, False, False, False],
        "lies": [False, True, False, False],
        "no protobuf": [False, False, False, True],
    }


def test_trust_stands_where_the_value_does() -> None:
    out = EventColumns(2)
    out.columns["trace_id"] = pa.array(["a", None])
    out.trust("trace_id", Trust.ASSERTED)
    assert out.columns["trace_id_trust"].to_pylist() == ["asserted", None]


def test_one_reason_may_refuse_some_rows_and_be_a_remark_on_others() -> None:
    out = EventColumns(3)
    out.columns["kind"] = pa.array(["request"] * 3)
    out.note(pa.array(["odd", None, None]))
    out.refuse(pa.array([None, "odd", None]))
    out.blank_refused({})
    assert out.columns["kind"].to_pylist() == ["request", "undecoded", "request"]
    assert {name: where.to_pylist() for name, where in out.problems.items()} == {
        "odd": [True, True, False]
    }
