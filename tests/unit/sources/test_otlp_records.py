from __future__ import annotations

import pyarrow as pa

from meshtrail.sources.otlp_records import ExportDecoder
from meshtrail.sources.otlp_span_schema import SPAN_PATH, export_spans_descriptor
from tests.otlp_spans import export, span

DECODER = ExportDecoder(export_spans_descriptor(), SPAN_PATH, what="span")


def names(*requests: bytes) -> tuple[list[bytes | None], dict[int, str]]:
    """The name of the record of each request, as its bytes, and why there is none."""
    batch, bad = DECODER.decode(pa.array(requests, pa.binary()))
    return batch.column("name").to_pylist(), bad


def test_the_one_record_of_each_request_comes_out_in_order() -> None:
    requests = [export(span(name=f"{n}")) for n in range(3)]
    assert names(*requests) == ([b"0", b"1", b"2"], {})
    assert names() == ([], {})


def test_a_request_without_one_record_is_a_row_of_nulls_with_a_reason() -> None:
    one, none, two, bad = export(span(name="a")), export(), export(span(), span()), b"\xff"
    read, reasons = names(none, one, two, bad, one)
    assert read == [None, b"a", None, None, b"a"]
    assert reasons == {
        0: "not exactly one span",
        2: "not exactly one span",
        3: "not a protobuf message",
    }


def test_a_record_is_found_behind_empty_resources_and_scopes() -> None:
    # Two requests one behind the other are one with two resources.
    assert names(export() + export(span(name="a")) + b"\x0a\x00") == ([b"a"], {})
