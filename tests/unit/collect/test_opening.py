from __future__ import annotations

from meshtrail.collect.opening import Claims, KnownBlobs, Opening, StreamDoor
from meshtrail.collect.payloads import CollectorFacts
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.errors import InputError
from meshtrail.units import UnixNanos
from tests.als_messages import INVALID_UTF8, identifier, length_delimited
from tests.collect_rig import decode_json

NOW = UnixNanos(1_700_000_000_000_000_000)
FACTS = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))


def new_opening(peer: Peer | None = None) -> Opening:
    door = StreamDoor(listener="127.0.0.1:1", collector=FACTS, blobs=KnownBlobs())
    return Opening(door, Stream(), peer or Peer(address="10.0.0.7:1"), service="some.Service")


def test_opening_names_the_service_and_is_done_once_it_was_made() -> None:
    opening = new_opening()
    was_done = opening.is_done
    blob, opened = opening.frames(identifier("n"), None, NOW)
    assert (was_done, opening.is_done) == (False, True)
    assert blob.data == identifier("n")
    said = decode_json(opened.data)
    assert (said["service"], said["claimed"]["node_id"]) == ("some.Service", "n")
    assert (opened.first_seq, opened.received_ns) == (0, NOW)


def test_opening_without_an_identifier_says_so_unless_there_is_more_to_say() -> None:
    [opened] = new_opening().frames(None, None, NOW)
    assert decode_json(opened.data)["detail"] == "the first message carries no identifier"
    [opened] = new_opening(Peer(address="a", detail="two SANs")).frames(None, "not read", NOW)
    assert decode_json(opened.data)["detail"] == "two SANs; not read"


def test_identifier_that_cannot_be_read_is_kept_and_its_fault_told() -> None:
    broken = length_delimited(2, INVALID_UTF8)
    blob, opened = new_opening().frames(broken, None, NOW)
    assert blob.data == broken
    said = decode_json(opened.data)
    assert said["claimed"] is None
    assert said["detail"].startswith("identifier of")


def test_claims_are_read_as_the_kind_of_sender_has_them_and_every_fault_is_told() -> None:
    def decode(said: bytes) -> dict[str, str]:
        if said == b"?":
            raise InputError("a question")
        return {"node_id": said.decode()}

    door = StreamDoor(listener="127.0.0.1:1", collector=FACTS, blobs=KnownBlobs())
    found = []
    for words, detail in ((b"n", None), (b"?", "kept whole"), (None, None)):
        opening = Opening(
            door,
            Stream(),
            Peer(address="a", detail="two SANs"),
            service="s",
            transport="http",
            claims=Claims(decode=decode, none_said="nothing said"),
        )
        said = decode_json(opening.frames(words, detail, NOW)[-1].data)
        assert said["transport"] == "http"
        found.append((said["claimed"], said["detail"]))
    assert found == [
        ({"node_id": "n"}, "two SANs"),
        (None, "two SANs; kept whole; a question"),
        (None, "two SANs; nothing said"),
    ]
