from __future__ import annotations

from meshtrail.collect.conflicts import tell_conflicts
from meshtrail.collect.payloads import CollectorFacts, Sender, stream_opened
from meshtrail.collect.peer import Peer
from meshtrail.collect.stream import Stream
from meshtrail.journal import Framing
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag

NOW = UnixNanos(1)
FACTS = CollectorFacts(version="1", started_ns=NOW, config_sha256=bytes(32))
PEER = Peer(address="p:1", auth="mtls", spiffe_id="spiffe://td/ns/shop/sa/payments")


def told(*namespaces: str) -> list[tuple[str, str, dict[str, object]]]:
    """What is told of one stream, opened so often, and its records."""
    diag, stream = FakeDiag(), Stream()
    frames = [
        stream.own_frame(
            EntryType.STREAM_OPENED,
            stream_opened(
                Sender(transport="grpc", peer=PEER, claimed={"metadata": {"NAMESPACE": namespace}}),
                FACTS,
            ),
            received_ns=NOW,
        )
        for namespace in namespaces
    ]
    frames.append(
        stream.records_frame(
            b"{",
            records_count=1,
            framing=Framing.WHOLE,
            payload_format=PayloadFormat.ALS_FRAME,
            received_ns=NOW,
        )
    )
    tell_conflicts(frames, diag)
    return diag.events


def test_stream_that_claims_another_namespace_is_told_of() -> None:
    ((level, event, facts),) = told("evil")
    assert (level, event) == ("warning", "sender_conflict")
    assert facts["conflict"] == 'claims namespace "evil", is of "shop"'
    assert (facts["auth"], facts["spiffe_id"], facts["token"]) == ("mtls", PEER.spiffe_id, None)
    assert facts["stream"]


def test_stream_that_claims_what_it_is_and_frames_of_records_are_not_told_of() -> None:
    assert told("shop") == []
    assert told() == []
