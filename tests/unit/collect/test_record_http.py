"""Records that come over HTTP, over real connections to a collector."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect import exports
from meshtrail.collect.record_http import RECORD_KINDS, RECORDS_COUNT_MAX, RecordExport
from meshtrail.collect.tokens import TOKEN_SOURCES
from meshtrail.journal import JournalReader
from meshtrail.log.intake import make_entries
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from meshtrail.model.record_formats import LINE_FORMATS, LISTED_FORMATS, RECORD_FORMATS
from meshtrail.units import UnixNanos
from tests.collect_rig import by_stream, read_entries, records
from tests.fake_disks import SmallDisk
from tests.http_door_scene import NOTHING_SHOWN, HttpScene, bearer, opening
from tests.otlp_rig import JSON, ask, play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector, Entry
    from tests.otlp_rig import Answer

LINES = "application/x-ndjson"
BODY = b'{"a":1}\r\n\n{"b":2}\n'
ENVOY = "/v1/records/envoy-json"
AUDIT = "/v1/records/kubernetes-audit"
EVENTS = [b'{"auditID":"1", "x":1.0}', b'{"auditID":"2"}']
EVENT_LIST = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[' + b",".join(EVENTS)
EVENT_LIST += b"]}\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


@pytest.fixture
def scene(tmp_path: Path) -> HttpScene:
    return HttpScene(tmp_path)


def ask_each(
    directory: Path, *asked: dict[str, Any], **options: Any
) -> tuple[list[Answer], list[Entry]]:
    """The answers to requests that come one by one, and what the journal then holds."""
    answers = []

    async def play_it(collector: Collector) -> None:
        said = [{"path": ENVOY, "kind": LINES, **one} for one in asked]
        answers.extend([await ask(collector, **one) for one in said])

    return answers, play(directory, play_it, **options)


def seal(directory: Path) -> list[bytes]:
    """The entries that a sealer makes of a journal."""
    reader = JournalReader(directory)
    slices = list(iter(reader.read, None))
    reader.close()
    batch = make_entries(slices, after_ns=UnixNanos(0))
    found: list[bytes] = batch.entries.to_pylist()
    return found


@pytest.mark.parametrize("name", LINE_FORMATS)
def test_lines_of_each_format_are_durable_records_when_they_are_acknowledged(
    directory: Path, name: str
) -> None:
    async def scene(collector: Collector) -> None:
        path = f"/v1/records/{name}?reporter=shop-1&cluster=eu"
        status, headers, answer = await ask(collector, BODY, path=path, kind=LINES)
        assert (status, headers["content-type"], answer) == (200, JSON, b'{"records":2}')
        assert records(read_entries(directory)) == [b'{"a":1}\r', b'{"b":2}']

    ((opened, first, second, closed),) = by_stream(play(directory, scene))
    assert opened.json["service"] == name
    assert (opened.json["transport"], opened.json["auth"]) == ("http", "none")
    assert opened.json["claimed"]["node_id"] == "shop-1"
    assert opened.json["claimed"]["node_cluster"] == "eu"
    assert {first.payload_format, second.payload_format} == {LINE_FORMATS[name]}
    assert closed.json["records"] == 2
    assert sum(entry.endswith(b'{"b":2}') for entry in seal(directory)) == 1


@pytest.mark.parametrize("name", RECORD_FORMATS)
def test_whatever_comes_for_any_format_can_be_sealed(directory: Path, name: str) -> None:
    bodies = [b"", b"\n", b"x", BODY, b"[{},{}]", EVENT_LIST, b"\x00\xff\n\x00", b"{\n}"]
    asked = [
        {"body": body, "kind": kind, "path": f"/v1/records/{name}"}
        for body in bodies
        for kind in RECORD_KINDS
    ]
    answers, entries = ask_each(directory, *asked)
    assert {status for status, _, _ in answers} <= {200, 400}
    assert len(seal(directory)) == len(entries)


@pytest.mark.parametrize("kind", RECORD_KINDS)
def test_lines_are_lines_whatever_their_sender_calls_them(directory: Path, kind: str) -> None:
    paths = {"path": AUDIT}, {"path": ENVOY}
    answers, entries = ask_each(
        directory, *[{"body": BODY, "kind": f"{kind}; charset=utf-8", **path} for path in paths]
    )
    assert [answer[2] for answer in answers] == [b'{"records":2}'] * 2
    assert records(entries) == [b'{"a":1}\r', b'{"b":2}'] * 2


@pytest.mark.parametrize("name", LISTED_FORMATS)
def test_elements_of_a_list_are_records_byte_for_byte(directory: Path, name: str) -> None:
    answers, entries = ask_each(
        directory,
        {"body": EVENT_LIST, "kind": JSON, "path": f"/v1/records/{name}"},
        {"body": b"[\n" + b",\n".join(EVENTS) + b"]", "kind": JSON, "path": f"/v1/records/{name}"},
    )
    assert [answer[2] for answer in answers] == [b'{"records":2}'] * 2
    assert records(entries) == [*EVENTS, *EVENTS]
    assert len(seal(directory)) == len(entries)


def test_a_packed_body_is_unpacked_and_known_again(directory: Path) -> None:
    answers, entries = ask_each(
        directory,
        {"body": gzip.compress(BODY), "content_encoding": "gzip"},
        {"body": BODY},
    )
    assert [answer[0] for answer in answers] == [200, 200]
    found = [(entry.payload, entry.flags) for entry in entries if records([entry])]
    again = EntryFlags.DUPLICATE
    assert found == [
        (b'{"a":1}\r', 0),
        (b'{"b":2}', 0),
        (b'{"a":1}\r', again),
        (b'{"b":2}', again),
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"path": "/v1/records/istio-json"},
        {"path": f"{ENVOY}?reporter=another"},
        {"body": BODY + b"{}"},
    ],
    ids=["format", "claims", "body"],
)
def test_another_format_reporter_or_body_is_no_duplicate(
    directory: Path, other: dict[str, Any]
) -> None:
    _, entries = ask_each(directory, {"body": BODY}, {"body": BODY, **other})
    assert {entry.flags for entry in entries} == {0}


def test_what_was_acknowledged_is_flagged_when_it_comes_again_after_a_restart(
    directory: Path,
) -> None:
    ask_each(directory, {"body": BODY})
    _, entries = ask_each(directory, {"body": BODY})
    flags = [entry.flags for entry in entries if entry.payload == b'{"b":2}']
    assert flags == [0, EntryFlags.DUPLICATE]


def test_a_body_of_nothing_is_acknowledged_and_becomes_nothing(directory: Path) -> None:
    answers, entries = ask_each(
        directory,
        {"body": b"\n\n"},
        {"body": b'{"items":[]}', "kind": JSON, "path": AUDIT},
    )
    assert [answer[2] for answer in answers] == [b'{"records":0}'] * 2
    assert by_stream(entries) == []


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"path": "/v1/records/"}, 404, "/v1/records/hubble"),
    ({"path": "/v1/records/otlp"}, 404, "there is no"),
    ({"path": f"{ENVOY}/"}, 404, "there is no"),
    ({"method": "PUT"}, 405, "POST"),
    ({"kind": "application/x-protobuf"}, 415, ""),
    ({"kind": "application/x-www-form-urlencoded"}, 415, "application/x-ndjson"),
    ({"content_encoding": "zstd"}, 415, "gzip"),
    ({"origin": "http://evil.example"}, 403, "browser"),
    ({"path": f"{ENVOY}?report=a"}, 400, "there is no parameter"),
    ({"body": b"x" * 3_000}, 413, "at most 2000"),
    ({"body": b"x" * 20, "content_encoding": "gzip"}, 400, "not gzip"),
]


@pytest.mark.parametrize(
    ("asked", "status", "reason"),
    [pytest.param(*case, id=f"{case[1]} {at}") for at, case in enumerate(REFUSED)],
)
def test_a_request_that_is_refused_is_told_why_and_leaves_nothing(
    directory: Path, asked: dict[str, Any], status: int, reason: str
) -> None:
    ((found, _, answer),), entries = ask_each(
        directory, {"body": BODY, **asked}, message_bytes_max=2_000
    )
    assert found == status
    if asked.get("kind") != "application/x-protobuf":
        assert reason in json.loads(answer)["message"]
    assert by_stream(entries) == []


CANNOT_BE_CUT: dict[str, tuple[dict[str, Any], str]] = {
    "half a list": ({"body": EVENT_LIST[:-3], "path": AUDIT}, "not JSON"),
    "text": ({"body": b"hello", "path": AUDIT}, "neither an object nor a list"),
    "nested": ({"body": b"[" * 100_000, "path": AUDIT}, "not JSON"),
    "a second list": ({"body": b'{"items":[],"items":[{}]}', "path": AUDIT}, "stands twice"),
    "a list of lines": ({"body": b"[{},{}]"}, "a line each"),
}


@pytest.mark.parametrize("case", CANNOT_BE_CUT)
def test_a_body_that_cannot_be_cut_is_sealed_whole_and_refused(directory: Path, case: str) -> None:
    asked, reason = CANNOT_BE_CUT[case]
    path = f"{asked.get('path', ENVOY)}?reporter=shop"
    ((status, headers, answer),), entries = ask_each(
        directory, {**asked, "path": path, "kind": JSON}
    )
    assert (status, headers["content-type"]) == (400, JSON)
    said = json.loads(answer)
    assert (said["code"], reason in said["message"]) == (3, True)
    ((opened, whole, closed),) = by_stream(entries)
    assert (whole.payload, whole.payload_format) == (asked["body"], PayloadFormat.BODY_FRAME)
    assert opened.json["detail"] == said["message"]
    assert opened.json["claimed"]["node_id"] == "shop"
    assert closed.entry_type is EntryType.STREAM_CLOSED
    assert len(seal(directory)) == len(entries)


@pytest.mark.parametrize(
    ("body", "is_taken"),
    [
        (b"x\n" * 1_024, True),
        (b"x\n" * 1_025, False),
        ((b"x" * 31 + b"\n") * 1_025, True),
        (b"\n" * 100_000 + b"x\n" * 1_024, True),
        ((b"x" * 31 + b"\n") * RECORDS_COUNT_MAX, True),
        ((b"x" * 31 + b"\n") * RECORDS_COUNT_MAX + b"x" * 60, False),
        (b"0\n" * 1_000_000, False),
    ],
)
def test_more_records_than_are_sent_in_earnest_are_kept_whole(
    body: bytes, *, is_taken: bool
) -> None:
    cut = RecordExport(body=body, name="ztunnel", is_json=False, claims=None).cut()
    assert (cut.refusal is None) is is_taken
    if not is_taken:
        assert cut.parts[0].pieces[0].payload_format is PayloadFormat.BODY_FRAME
        assert cut.refusal is not None
        assert "records_count" not in cut.refusal.facts


def test_requests_of_one_connection_share_a_stream_for_each_format_and_claim(
    directory: Path,
) -> None:
    async def scene(collector: Collector) -> None:
        assert collector.otlp_http is not None
        host, _, port = collector.otlp_http.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for text, path in zip("abcd", [ENVOY, ENVOY, f"{ENVOY}?reporter=x", AUDIT], strict=True):
            body = b'{"%s":1}' % text.encode()
            head = f"POST {path} HTTP/1.1\r\nhost: h\r\ncontent-type: {LINES}\r\n"
            writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
            await reader.readuntil(b'{"records":1}')
        writer.close()
        await writer.wait_closed()
        await collector.closed(3)

    streams = by_stream(play(directory, scene))
    kept = [[json.loads(one) for one in records(stream)] for stream in streams]
    assert kept == [[{"a": 1}, {"b": 1}], [{"c": 1}], [{"d": 1}]]
    assert streams[0][0].json["detail"] == "the request names no reporter"


def test_a_full_disk_holds_a_sender_and_then_tells_it_to_come_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports.Exports.__init__, "__kwdefaults__", {"hold_seconds_max": 0.2})
    disk = SmallDisk(20_000)

    async def scene(collector: Collector) -> None:
        disk.room_bytes = 0
        for body in (b"b", b"c"):
            status, headers, answer = await ask(collector, body, path=ENVOY, kind=LINES)
            assert (status, headers["retry-after"]) == (503, "1")
            assert json.loads(answer)["code"] == 14
        disk.room_bytes = 1 << 20
        await collector.diag.heard("journal_disk_full_ended")
        for body in (b"b", b"c"):
            assert (await ask(collector, body, path=ENVOY, kind=LINES))[0] == 200

    entries = [entry for entry in play(directory, scene, disk=disk) if records([entry])]
    assert [(entry.payload, int(entry.flags)) for entry in entries] == [
        (b"b", 0),
        (b"b", 8),
        (b"c", 0),
    ]


# ── who may send ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", RECORD_FORMATS)
def test_a_token_is_good_for_the_formats_that_it_names_alone(scene: HttpScene, name: str) -> None:
    assert name in TOKEN_SOURCES
    text = scene.token(source=name)
    asked = {"body": b"", "kind": LINES, "path": f"/v1/records/{name}", **bearer(text)}
    answers, streams = scene.ask_each(
        scene.options(has_tokens=True),
        asked,
        {**asked, "path": "/v1/records/envoy-json" if name != "envoy-json" else AUDIT},
        {"kind": JSON, "body": b"{}", **bearer(text)},
    )
    assert [status for status, _, _ in answers] == [200, 401, 401]
    assert f"good for {name}, not for" in json.loads(answers[1][2])["message"]
    assert streams == []


def test_who_shows_nothing_is_refused_unread_and_counted(scene: HttpScene) -> None:
    scene.token(source="envoy-json")
    asked = {"body": BODY, "kind": LINES, "path": ENVOY}
    answers, streams = scene.ask_each(scene.options(has_tokens=True), asked, asked)
    assert [json.loads(answer[2])["message"] for answer in answers] == [NOTHING_SHOWN] * 2
    assert streams == []
    told = [facts for _, event, facts in scene.diag.events if event == "sender_refused"]
    assert [one["source"] for one in told] == ["envoy-json"] * len(told)
    assert sum(int(str(one["refused_count"])) for one in told) == 2


@pytest.mark.parametrize(
    ("query", "conflict"),
    [
        ("?reporter=shop-1", None),
        ("?reporter=bank-1", 'node id "bank-1" is none of token "shop"'),
        ("?reporter=shop-1&cluster=eu", 'node cluster "eu" is none of token "shop"'),
    ],
)
def test_names_that_a_token_is_not_for_are_sealed_and_flagged(
    scene: HttpScene, query: str, conflict: str | None
) -> None:
    text = scene.token(source="envoy-json")
    asked = {"body": BODY, "kind": LINES, "path": ENVOY + query, **bearer(text)}
    answers, streams = scene.ask_each(scene.options(has_tokens=True), asked)
    assert answers[0][0] == 200
    opened = opening(streams)
    assert (opened["auth"], opened["authenticated"]["token"]) == ("token", "shop")
    if conflict is None:
        assert "sender_conflict" not in [event for _, event, _ in scene.diag.events]
    else:
        assert scene.diag.facts("sender_conflict")["conflict"] == conflict


def test_a_certificate_makes_its_sender_known(scene: HttpScene) -> None:
    asked = {"body": BODY, "kind": LINES, "path": ENVOY, "tls": scene.client(scene.sender)}
    _, streams = scene.ask_each(scene.options(is_mtls=True), asked)
    opened = opening(streams)
    assert opened["authenticated"]["spiffe_id"] == scene.sender.spiffe_id
