"""What the worst JSON costs: memory in bodies of its own, work in bodies of the same size."""

from __future__ import annotations

import gc
import time
import tracemalloc
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pytest

from meshtrail.errors import InputError
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_json import EXPORT_COMMAS_MAX, cut_json_export, json_column_to_protobuf

if TYPE_CHECKING:
    from collections.abc import Callable

BODY_BYTES: Final = 512 << 10
COPIES_MAX: Final = 8
"""Bodies of memory that one takes while it is cut; a usual one takes seven."""
ELEMENT_BYTES_MAX: Final = 128
"""And for each element, of which there are at most ``EXPORT_COMMAS_MAX``."""
TIMES_MAX: Final = 20
"""Times the work of a usual body. What is not linear in these bodies is thousands of times that."""
RUNS: Final = 3


def logs(records: str) -> bytes:
    return f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}'.encode()


def full_of(record: str) -> bytes:
    """A body of such records, of the size of all bodies here."""
    return logs(",".join([record] * (BODY_BYTES // (len(record) + 1))))


def filled(pattern: str, unit: str) -> bytes:
    """A body with one record, made large by repeating a unit in place of the ``@``."""
    return logs(pattern.replace("@", unit * (BODY_BYTES // len(unit))))


USUAL: Final = full_of(
    '{"timeUnixNano":"1700000000000000000","severityText":"INFO","body":{"stringValue":"paid"},'
    '"attributes":[{"key":"http.request.method","value":{"stringValue":"GET"}}]}'
)
NESTED: Final = '{"arrayValue":{"values":[' * 28 + '{"intValue":1}' + "]}}" * 28

HOSTILE: Final = {
    "brackets": filled("@", "["),
    "objects in objects": filled("@", '{"a":'),
    "brackets that close": logs("[" * (BODY_BYTES // 2) + "]" * (BODY_BYTES // 2)),
    "brackets in a text": filled('"@"', "["),
    "quotes": b'"' * BODY_BYTES,
    "escaped quotes": filled('{"body":{"stringValue":"@"}}', '\\"'),
    "backslashes": filled('{"body":{"stringValue":"@"}}', "\\\\"),
    "escaped characters": filled('{"body":{"stringValue":"@"}}', "\\u00e9"),
    "a wide character": filled('{"body":{"stringValue":"\U0001f600@"}}', "a"),
    "commas": b"," * BODY_BYTES,
    "empty records": full_of("{}"),
    "empty resources": b'{"resourceLogs":[' + b"{}," * (BODY_BYTES // 3) + b"{}]}",
    "a key again and again": b"{" + b'"resourceLogs":[],' * (BODY_BYTES // 18) + b'"x":0}',
    "spaces": logs("{}")[:-1] + b" " * BODY_BYTES + b"}",
    "a number of all digits": filled('{"timeUnixNano":@}', "9"),
    "a text of all digits": filled('{"timeUnixNano":"@"}', "9"),
    "an exponent of all digits": filled('{"body":{"doubleValue":1e@}}', "9"),
    "digits behind the point": filled('{"body":{"doubleValue":0.@}}', "1"),
    "large numbers": full_of('{"x":' + "9" * 4_000 + "}"),
    "large numbers as texts": full_of('{"body":{"doubleValue":"' + "1" * 390 + '"}}'),
    "values in values": full_of(f'{{"body":{NESTED}}}'),
    "unknown keys": full_of("{" + ",".join(f'"k{at}":0' for at in range(9_000)) + "}"),
    "attributes without keys": full_of('{"attributes":[' + "{}," * 9_000 + "{}]}"),
    "base64": filled('{"body":{"bytesValue":"@"}}', "AAAA"),
}


def cut(body: bytes) -> list[bytes]:
    """The payloads of a body; none of one that is refused."""
    try:
        parts = cut_json_export(body, Signal.LOGS)
    except InputError:
        return []
    return [payload for part in parts for payload in part.payloads]


def work(of: Callable[[], object]) -> float:
    """CPU seconds, the least of some runs: what others do on this machine does not count."""
    least = float("inf")
    for _ in range(RUNS):
        start = time.process_time()
        of()
        least = min(least, time.process_time() - start)
    return least


@pytest.fixture(scope="module")
def usual_work() -> tuple[float, float]:
    """What it takes to cut a usual body, and to decode its payloads."""
    column = pa.array(cut(USUAL), pa.binary())
    return (
        work(lambda: cut(USUAL)),
        work(lambda: json_column_to_protobuf(column, Signal.LOGS)),
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_body_takes_no_more_memory_than_some_copies_of_it(name: str) -> None:
    body = HOSTILE[name]
    cut(USUAL[:1_000])
    gc.collect()
    tracemalloc.start()
    try:
        cut(body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    elements_count = min(body.count(b","), EXPORT_COMMAS_MAX)
    assert peak_bytes < COPIES_MAX * len(body) + ELEMENT_BYTES_MAX * elements_count


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_body_takes_no_more_work_than_some_usual_ones(
    name: str, usual_work: tuple[float, float]
) -> None:
    to_cut, to_decode = usual_work
    assert work(lambda: cut(HOSTILE[name])) < TIMES_MAX * to_cut
    column = pa.array(cut(HOSTILE[name]), pa.binary())
    assert work(lambda: json_column_to_protobuf(column, Signal.LOGS)) < TIMES_MAX * to_decode
