"""What becomes of hostile bodies at the HTTP door, over real connections: each is decided."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import select
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_json import json_column_to_protobuf
from tests.als_records import derive, entry, opened
from tests.collect_rig import by_stream, records
from tests.otlp_messages import export_of, json_export
from tests.otlp_rig import JSON, PROTOBUF, ask, play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector, Entry
    from tests.otlp_rig import Answer

DEEP: Final = 100_000
MIB: Final = 1 << 20
GOOD: Final = json_export(Signal.LOGS, "a")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def logs(record: str, *, resource: str = "{}", scope: str = "{}", more: str = "") -> bytes:
    """An export of one record."""
    return (
        f'{{"resourceLogs":[{{"resource":{resource},"scopeLogs":[{{"scope":{scope},'
        f'"logRecords":[{record}]}}]}}]{more}}}'
    ).encode(errors="surrogatepass")


def arrays(depth: int) -> str:
    return '{"arrayValue":{"values":[' * depth + "{}" + "]}}" * depth


def lists_of_keys(depth: int) -> str:
    return '{"kvlistValue":{"values":[{"key":"k","value":' * depth + "{}" + "}]}}" * depth


def attribute(value: str) -> str:
    return f'{{"attributes":[{{"key":"k","value":{value}}}]}}'


class Outcome(NamedTuple):
    """The answer to a request, and what the journal holds in the end that came with it."""

    answer: Answer
    sealed: list[Entry]


def send_each(directory: Path, bodies: dict[str, bytes]) -> dict[str, Outcome]:
    """Send bodies one after the other; each is a connection of its own, hence a stream."""
    answers = {}

    async def scene(collector: Collector) -> None:
        for name, body in bodies.items():
            answers[name] = await ask(collector, body, kind=JSON)
        assert (await ask(collector, export_of("after")))[0] == 200
        assert collector.diag.alarms() == []

    streams = by_stream(play(directory, scene))
    found = {
        name: Outcome(answers[name], [one for one in stream if one.payload in records(stream)])
        for name, stream in zip(bodies, streams[:-1], strict=True)
    }
    assert len(records(streams[-1])) == 1
    return found


# ── bodies that are no export: refused, and sealed as they came ─────────────────────────────────


NESTED: Final = "nested"
NO_EXPORT: Final[dict[str, tuple[bytes, str]]] = {
    "values in lists": (logs(f'{{"body":{arrays(DEEP)}}}'), NESTED),
    "values in keys": (logs(f'{{"body":{lists_of_keys(DEEP)}}}'), NESTED),
    "an attribute": (logs(attribute(arrays(DEEP))), NESTED),
    "an attribute of the resource": (logs("{}", resource=attribute(lists_of_keys(DEEP))), NESTED),
    "an attribute of the scope": (logs("{}", scope=attribute(arrays(DEEP))), NESTED),
    "an unknown key": (logs("{}", more=',"x":' + "[" * DEEP + "]" * DEEP), NESTED),
    "an unknown key of a record": (logs('{"x":' + '{"y":' * DEEP + "0" + "}" * DEEP + "}"), NESTED),
    "brackets that do not close": (b"[" * DEEP, NESTED),
    "NaN": (logs('{"body":{"doubleValue":NaN}}'), "not JSON"),
    "Infinity": (logs('{"timeUnixNano":Infinity}'), "not JSON"),
    "minus Infinity": (logs('{"body":{"doubleValue":-Infinity}}'), "not JSON"),
    "half of a pair": (logs('{"body":{"stringValue":"\\ud800"}}'), "not JSON"),
    "half of a pair in a claim": (logs("{}", resource=attribute('"\\udfff"')), "not JSON"),
    "half of a pair, written out": (logs('{"body":{"stringValue":"\ud800"}}'), "not UTF-8"),
    "no UTF-8": (logs('"é"').decode().encode("latin-1"), "not UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "not UTF-8"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "byte order mark"),
    "garbage behind it": (GOOD + b"x", "not JSON"),
    "a second export": (GOOD + GOOD, "not JSON"),
    "a zero byte behind it": (GOOD + b"\0", "not JSON"),
    "nothing": (b"", "not JSON"),
    "spaces": (b" \n", "not JSON"),
    "null": (b"null", "not an OTLP export"),
    "a text": (b'"' + b"x" * 50_000 + b'"', "not an OTLP export"),
    "protobuf": (export_of("a"), "not an OTLP export"),
    "another signal": (json_export(Signal.TRACES, "a"), "without resourceLogs"),
}


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    bodies = {name: body for name, (body, _) in NO_EXPORT.items()}
    return send_each(tmp_path_factory.mktemp("refused") / "collect", bodies)


@pytest.mark.parametrize("name", NO_EXPORT)
def test_body_that_is_no_export_is_refused_with_a_reason_and_sealed_as_it_came(
    refused: dict[str, Outcome], name: str
) -> None:
    body, reason = NO_EXPORT[name]
    (status, headers, answer), sealed = refused[name]
    said = json.loads(answer)
    assert (status, said["code"]) == (400, 3)
    assert reason in said["message"]
    assert "retry-after" not in headers
    assert len(answer) < 500
    kept = [(one.payload, one.payload_format) for one in sealed]
    assert kept == [(body, PayloadFormat.OTLP_FRAME)]


# ── bodies that are exports, with values that mean nothing: sealed, and not decoded ─────────────


NO_VALUE: Final[dict[str, tuple[str, str]]] = {
    "an exponent": ('{"body":{"doubleValue":1e999999}}', "a number out of range"),
    "digits": (f'{{"timeUnixNano":{"9" * DEEP}}}', "a number out of range"),
    "digits as a text": (f'{{"timeUnixNano":"{"9" * DEEP}"}}', "timeUnixNano: not a whole number"),
    "digits of a double": (
        f'{{"body":{{"doubleValue":"{"9" * DEEP}"}}}}',
        "doubleValue: not a number",
    ),
    "an exponent as a text": ('{"body":{"doubleValue":"1e999"}}', "doubleValue: out of range"),
    "digits in an unknown key": (f'{{"x":{"9" * DEEP}}}', "a number out of range"),
    "below zero": ('{"timeUnixNano":-1}', "timeUnixNano: out of range"),
    "NaN as a time": ('{"timeUnixNano":"NaN"}', "timeUnixNano: not a whole number"),
    "a key twice": ('{"traceId":"00","traceId":"01"}', "a key that stands twice in one object"),
    "a key twice, once escaped": (
        '{"traceId":"00","trace\\u0049d":"01"}',
        "a key that stands twice in one object",
    ),
    "a key in both spellings": ('{"timeUnixNano":1,"time_unix_nano":2}', "a second value"),
}


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    bodies = {name: logs(record) for name, (record, _) in NO_VALUE.items()}
    return send_each(tmp_path_factory.mktemp("taken") / "collect", {**bodies, **ODD})


@pytest.mark.parametrize("name", NO_VALUE)
def test_record_with_a_value_that_means_nothing_is_sealed_as_it_came_and_says_why(
    taken: dict[str, Outcome], name: str
) -> None:
    record, reason = NO_VALUE[name]
    (status, _, answer), (sealed,) = taken[name]
    assert (status, answer) == (200, b"{}")
    assert (sealed.payload, sealed.payload_format) == (logs(record), PayloadFormat.OTLP_LOG_JSON)
    payloads = pa.array([sealed.payload], pa.binary())
    assert reason in json_column_to_protobuf(payloads, Signal.LOGS)[1][0]


ODD: Final = {
    "deep": logs(f'{{"timeUnixNano":"7","body":{arrays(30)}}}'),
    "twice": GOOD[:-1] + b"," + json_export(Signal.LOGS, "b")[1:],
}


def test_values_as_deep_as_they_may_be_are_taken_and_decoded(taken: dict[str, Outcome]) -> None:
    (status, _, _), (sealed,) = taken["deep"]
    assert status == 200
    row = derive(opened(), entry(sealed.payload, PayloadFormat.OTLP_LOG_JSON))[1]
    assert (row["kind"], row["time"]) == ("log_record", 7)


def test_export_that_says_a_key_twice_is_sealed_whole_besides(taken: dict[str, Outcome]) -> None:
    (status, _, _), sealed = taken["twice"]
    assert status == 200
    # As most parsers do, the last counts; the first is not lost.
    assert ODD["twice"] in [one.payload for one in sealed]
    assert {one.payload_format for one in sealed} == {
        PayloadFormat.OTLP_FRAME,
        PayloadFormat.OTLP_LOG_JSON,
    }


# ── bodies that are too large, packed or not: refused without being held ────────────────────────


def bomb(mebibytes: int) -> bytes:
    """Zeros, packed to a thousandth."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(mebibytes)), packer.flush()])


def pour(address: str | None, *, is_declared: bool) -> int:
    """Send 64 MiB until anybody answers; the status of the answer."""
    assert address is not None
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.putrequest("POST", "/v1/logs")
    connection.putheader("content-type", JSON)
    if is_declared:
        connection.putheader("content-length", str(64 * MIB))
    else:
        connection.putheader("transfer-encoding", "chunked")
    connection.endheaders()
    part = b"10000\r\n" + b" " * (64 << 10) + b"\r\n"
    for _ in range(1_024):
        # Of a declared length the first byte would be too many.
        if select.select([connection.sock], [], [], 5 if is_declared else 0)[0]:
            break
        connection.send(part)
    status = connection.getresponse().status
    connection.close()
    return status


TOO_LARGE: Final = {
    "declared": 413,
    "in chunks": 413,
    "a bomb": 413,
    "a bomb behind a member": 400,
    "a bomb in a bomb": 400,
}


@pytest.mark.parametrize("how", TOO_LARGE)
def test_body_that_is_too_large_is_refused_and_never_held(directory: Path, how: str) -> None:
    packed = {
        "a bomb": bomb(64),
        "a bomb behind a member": gzip.compress(GOOD) + bomb(64),
        "a bomb in a bomb": gzip.compress(bomb(64)),
    }.get(how)
    peaks = []

    async def scene(collector: Collector) -> None:
        # What is loaded with the first request is not counted.
        assert (await ask(collector, GOOD, kind=JSON))[0] == 200
        tracemalloc.start()
        try:
            if packed is None:
                is_declared = how == "declared"
                status = await asyncio.to_thread(pour, collector.otlp_http, is_declared=is_declared)
            else:
                status, _, _ = await ask(collector, packed, kind=JSON, content_encoding="gzip")
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert status == TOO_LARGE[how]
        assert (await ask(collector, GOOD, kind=JSON))[0] == 200

    entries = play(directory, scene, message_bytes_max=MIB)
    assert len([one for one in entries if b"stringValue" in one.payload]) == 2
    # The body up to its bound, as it grows; and another time, unpacked.
    assert peaks[0] < 8 * MIB


@pytest.mark.parametrize("kind", ["text/json", "application/json5", "application/*", "json", "*/*"])
def test_body_of_another_type_is_not_looked_at(directory: Path, kind: str) -> None:
    answers = []

    async def scene(collector: Collector) -> None:
        answers.append(await ask(collector, GOOD, kind=kind))

    assert by_stream(play(directory, scene)) == []
    ((status, _, answer),) = answers
    assert status == 415
    assert PROTOBUF in json.loads(answer)["message"]
