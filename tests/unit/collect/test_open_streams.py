from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.open_streams import IDLE_NS_MAX, Caller, OpenStreams
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.collect.payloads import CloseReason, CollectorFacts
from meshtrail.collect.peer import AUTH_MTLS, Peer
from meshtrail.collect.tally import Tally
from meshtrail.journal import Framing
from meshtrail.model.entry import EntryType
from meshtrail.sources.otlp_frame import Signal
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag, decode_json
from tests.otlp_messages import resource

if TYPE_CHECKING:
    from meshtrail.collect.stream import Stream
    from meshtrail.journal import Frame

NOW = UnixNanos(1_000)


class Scene:
    def __init__(self, *, streams_max: int = 100, connection_streams_max: int = 100) -> None:
        self.diag = FakeDiag()
        self.tally = Tally(self.diag)
        self.streams = OpenStreams(
            streams_max=streams_max,
            connection_streams_max=connection_streams_max,
            tally=self.tally,
        )
        facts = CollectorFacts(version="1", started_ns=UnixNanos(1), config_sha256=bytes(32))
        self.door = StreamDoor(listener="l", collector=facts, blobs=KnownBlobs())
        self.frames: list[Frame] = []

    def caller(self, connection: str = "c", peer: Peer | None = None) -> Caller:
        return Caller(
            door=self.door,
            transport="http",
            connection=connection,
            peer=peer or Peer(address="127.0.0.1:9"),
            is_gone=lambda: False,
        )

    def use(
        self,
        name: str | None = "checkout",
        *,
        caller: Caller | None = None,
        signal: Signal = Signal.LOGS,
        is_json: bool = False,
        at: int = NOW,
    ) -> Stream:
        return self.streams.use(
            caller or self.caller(),
            OtlpExport(body=b"", signal=signal, is_json=is_json).kind,
            None if name is None else resource(name),
            frames=self.frames,
            received_ns=UnixNanos(at),
        )

    def closings(self) -> dict[int, str]:
        """Reasons by stream."""
        closed = [frame for frame in self.frames if frame.entry_type is EntryType.STREAM_CLOSED]
        return {frame.stream: str(decode_json(frame.data)["reason"]) for frame in closed}

    def opening(self) -> dict[str, object]:
        (opened,) = [f for f in self.frames if f.entry_type is EntryType.STREAM_OPENED]
        return decode_json(opened.data)


def test_a_stream_is_opened_with_what_is_known_of_its_sender() -> None:
    scene = Scene()
    peer = Peer(address="10.0.0.7:1", auth=AUTH_MTLS, spiffe_id="spiffe://a/b", detail="odd")
    scene.use(caller=scene.caller(peer=peer))
    blob, opened = scene.frames
    assert (blob.framing, blob.data) == (Framing.BLOB, resource())
    assert opened.first_seq == 0
    said = decode_json(opened.data)
    assert said["transport"] == "http"
    assert said["service"] == "opentelemetry.proto.collector.logs.v1.LogsService"
    assert said["peer"] == "10.0.0.7:1"
    assert said["authenticated"]["spiffe_id"] == "spiffe://a/b"
    assert said["claimed"]["node_cluster"] == "checkout"
    assert said["identifier_sha256"] == hashlib.sha256(resource()).hexdigest()
    assert said["identifier_bytes"] == len(resource())
    assert said["detail"] == "odd"


def test_records_with_all_in_common_share_a_stream_and_others_do_not() -> None:
    scene = Scene()
    first = scene.use()
    assert scene.use() is first
    other_peer = Peer(address="127.0.0.1:9", spiffe_id="spiffe://a/b")
    others = [
        scene.use("other"),
        scene.use(None),
        scene.use(signal=Signal.TRACES),
        scene.use(is_json=True),
        scene.use(caller=scene.caller("another")),
        scene.use(caller=scene.caller(peer=other_peer)),
    ]
    assert len({stream.id for stream in [first, *others]}) == 7
    assert len(scene.streams) == 7
    assert scene.closings() == {}


def test_a_resource_that_is_known_is_kept_once() -> None:
    scene = Scene()
    scene.use()
    scene.use(caller=scene.caller("another"))
    assert [frame.framing for frame in scene.frames].count(Framing.BLOB) == 1


def test_an_opening_without_a_resource_says_so() -> None:
    scene = Scene()
    scene.use(None)
    said = scene.opening()
    assert (said["claimed"], said["identifier_sha256"], said["identifier_bytes"]) == (None,) * 3
    assert said["detail"] == "the export carries no resource"


def test_a_resource_that_cannot_be_read_claims_nothing_and_is_kept() -> None:
    scene = Scene()
    scene.streams.use(
        scene.caller(),
        OtlpExport(body=b"", signal=Signal.LOGS, is_json=True).kind,
        b"{",
        frames=scene.frames,
        received_ns=NOW,
    )
    said = scene.opening()
    assert said["claimed"] is None
    assert said["detail"]
    assert scene.frames[0].data == b"{"


def test_streams_end_with_their_connection_and_no_others_do() -> None:
    scene = Scene()
    ended = [scene.use("a"), scene.use("b")]
    kept = scene.use("a", caller=scene.caller("another"))
    scene.frames += scene.streams.close_connection("c", CloseReason.ENDED, now_ns=NOW)
    assert scene.closings() == {stream.id: "ended" for stream in ended}
    assert len(scene.streams) == 1
    assert scene.streams.close_connection("c", CloseReason.ENDED, now_ns=NOW) == []
    assert scene.use("a") not in [*ended, kept]


def test_streams_on_which_nothing_comes_for_five_minutes_end() -> None:
    scene = Scene()
    idle = scene.use("a")
    used = scene.use("b")
    scene.use("b", at=NOW + 1)
    assert scene.streams.close_idle(now_ns=UnixNanos(NOW + IDLE_NS_MAX - 1)) == []
    scene.frames += scene.streams.close_idle(now_ns=UnixNanos(NOW + IDLE_NS_MAX))
    assert scene.closings() == {idle.id: "idle"}
    scene.frames += scene.streams.close_idle(now_ns=UnixNanos(NOW + IDLE_NS_MAX + 1))
    assert scene.closings() == {idle.id: "idle", used.id: "idle"}
    assert len(scene.streams) == 0


@pytest.mark.parametrize(
    ("bounds", "of_what"),
    [({"streams_max": 2}, "in all"), ({"connection_streams_max": 2}, "of a connection")],
)
def test_the_least_recently_used_of_too_many_streams_gives_way(
    bounds: dict[str, int], of_what: str
) -> None:
    scene = Scene(**bounds)
    first, second = scene.use("a"), scene.use("b")
    scene.use("a")
    third = scene.use("c")
    assert scene.closings() == {second.id: "overflow"}
    assert [scene.use("a"), scene.use("c")] == [first, third]
    (closed,) = [f for f in scene.frames if f.entry_type is EntryType.STREAM_CLOSED]
    detail = f"at most 2 streams of exports {of_what} are open at once"
    assert decode_json(closed.data)["detail"] == detail
    scene.tally.tell()
    assert scene.diag.facts("export_streams_overflowed") == {"count": 1, "last": detail}


def test_the_bound_of_a_connection_is_its_own() -> None:
    scene = Scene(connection_streams_max=1)
    scene.use("a")
    scene.use("a", caller=scene.caller("another"))
    assert scene.closings() == {}


def test_one_stream_in_all_is_enough_to_go_on() -> None:
    scene = Scene(streams_max=1, connection_streams_max=1)
    streams = [scene.use(name, caller=scene.caller(name)) for name in "abcabc"]
    assert len(scene.streams) == 1
    assert list(scene.closings()) == [stream.id for stream in streams[:-1]]
    scene.frames += scene.streams.close_all(CloseReason.SHUTDOWN, now_ns=NOW)
    assert scene.closings()[streams[-1].id] == "shutdown"


def test_a_stream_that_was_closed_is_opened_anew() -> None:
    scene = Scene()
    first = scene.use()
    scene.frames += scene.streams.close_all(CloseReason.SHUTDOWN, now_ns=NOW)
    again = scene.use(caller=replace(scene.caller(), transport="grpc"))
    assert again is not first
    assert again.last_seq == 0
