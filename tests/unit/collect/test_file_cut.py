from __future__ import annotations

import io
import json
import re

import pytest

from meshtrail.collect import file_cut
from meshtrail.collect.file_cut import FILE_CLAIMS, FileChunk, read_file
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat

CLAIMS = b'{"node_id":"n"}'
SPAN = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "a"}]}]}]}
LOG = {"resource_logs": [{"scope_logs": [{"log_records": [{"body": {"stringValue": "x"}}]}]}]}


def read(name: str, data: bytes) -> list[FileChunk]:
    return list(read_file(name, io.BytesIO(data), path="x", claims=CLAIMS))


def payloads(chunks: list[FileChunk]) -> list[bytes]:
    found = []
    for piece in (piece for chunk in chunks for piece in chunk.pieces):
        lines = piece.framing is Framing.LINES
        found += [one for one in piece.data.split(b"\n") if one] if lines else [piece.data]
    return found


def test_lines_are_read_as_they_are() -> None:
    chunks = read("ztunnel", b"a\n\nb\r\nc")
    assert payloads(chunks) == [b"a", b"b\r", b"c"]
    assert {chunk.kind.service for chunk in chunks} == {"ztunnel"}
    assert {part.identifier for chunk in chunks for part in chunk.parts} == {CLAIMS}
    assert FILE_CLAIMS.decode(CLAIMS)["node_id"] == "n"


@pytest.mark.parametrize("name", ["kubernetes-audit", "inventory"])
@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1}\n{"b":2}\n',
        b'{"kind":"EventList","items":[{"a":1},{"b":2}]}',
        b'{"kind":"EventList",\n "items":[\n{"a":1}\n,\n{"b":2}]}\n',
        b'[{"a":1},{"b":2}]',
    ],
)
def test_objects_are_lines_or_elements_of_one_list(name: str, data: bytes) -> None:
    assert payloads(read(name, data)) == [b'{"a":1}', b'{"b":2}']


def test_one_object_over_several_lines_is_one_record() -> None:
    assert payloads(read("inventory", b'{\n"a": 1\n}\n')) == [b'{\n"a": 1\n}']


def test_a_large_list_is_journaled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_cut, "CHUNK_BYTES", 10)
    elements = [f'{{"n":\n{number}}}' for number in range(6)]
    chunks = read("inventory", f"[{','.join(elements)}]".encode())
    assert [len(chunk.pieces) for chunk in chunks] == [2, 2, 2]
    assert payloads(chunks) == [element.encode() for element in elements]


def test_a_git_log_is_cut_into_its_commits() -> None:
    commit = b"commit %s\ntree %s\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n\n    s\n\n"
    records = [commit % (one * 40, b"0" * 40) + b"A\0f\0" for one in (b"a", b"b")]
    chunks = read("git-log", b"\0".join(records))
    assert [piece.payload_format for piece in chunks[0].pieces] == [PayloadFormat.GIT_LOG] * 2


@pytest.mark.parametrize("is_pretty", [False, True])
def test_exports_of_otlp_say_what_they_are_of(*, is_pretty: bool) -> None:
    for export, payload_format in (
        (SPAN, PayloadFormat.OTLP_SPAN_JSON),
        (LOG, PayloadFormat.OTLP_LOG_JSON),
    ):
        text = json.dumps(export, indent=1 if is_pretty else None)
        data = text if is_pretty else f"{text}\n\n{text}\n"
        chunks = read("otlp-json", data.encode())
        assert (len(chunks), len(chunks[0].pieces)) == (1, 1 if is_pretty else 2)
        assert {piece.payload_format for one in chunks for piece in one.pieces} == {payload_format}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("otlp-json", b"{", "no export of OTLP in JSON"),
        ("otlp-json", b"{}", "it has none of resourceLogs"),
        ("otlp-json", b'{"resourceSpans":5}', "x: "),
        ("inventory", b"{", "not JSON"),
        ("git-log", b"commit x", "git log"),
    ],
)
def test_what_is_not_of_the_format_is_refused(name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        read(name, data)


@pytest.mark.parametrize("name", ["otlp-json", "inventory", "ztunnel", "kubernetes-audit"])
def test_an_empty_file_has_no_records(name: str) -> None:
    assert payloads(read(name, b"\n \n" if name != "ztunnel" else b"\n\n")) == []


def test_a_line_that_is_no_export_is_kept_as_it_is() -> None:
    span = json.dumps(SPAN).encode()
    chunks = read("otlp-json", span + b"\n{}\n" + span[:-9])
    told = [(piece.payload_format, piece.data) for one in chunks for piece in one.pieces]
    assert told[1:] == [(PayloadFormat.BODY_FRAME, b"{}"), (PayloadFormat.BODY_FRAME, span[:-9])]
    assert told[0][0] == PayloadFormat.OTLP_SPAN_JSON


def test_lines_are_lines_although_the_first_was_cut_off() -> None:
    lines = [b'"b":1}', b'{"a":1}', b'{"b":2}']
    assert payloads(read("kubernetes-audit", b"\n".join(lines))) == lines
