from __future__ import annotations

import json

import pytest

from meshtrail.collect import payloads
from meshtrail.collect.clock import ClockStep
from meshtrail.collect.payloads import CollectorFacts, Sender, encode_json
from meshtrail.collect.peer import Peer
from meshtrail.units import UnixNanos

FACTS = CollectorFacts(version="1.2", started_ns=UnixNanos(5), config_sha256=b"\xab" * 32)


def test_json_has_one_spelling() -> None:
    assert encode_json({"b": [1, None], "a": "ä\u2028"}) == '{"a":"ä\u2028","b":[1,null]}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_json(float("nan"))


def test_stream_opened_of_an_authenticated_sender_has_the_bytes_of_the_format() -> None:
    sender = Sender(
        transport="grpc",
        service="s",
        listener="127.0.0.1:4317",
        peer=Peer(
            address="10.0.0.7:4711",
            auth="mtls",
            spiffe_id="spiffe://td/w",
            certificate_sha256=b"\x01" * 32,
        ),
        claimed={"node_id": "n"},
        identifier_sha256=b"\x02" * 32,
        identifier_bytes=61_000,
        detail="d",
    )
    assert payloads.stream_opened(sender, FACTS).decode() == (
        '{"auth":"mtls","authenticated":{"certificate_sha256":"' + "01" * 32 + '",'
        '"reporters":null,"spiffe_id":"spiffe://td/w","token":null},"claimed":{"node_id":"n"},'
        '"collector":{"started_ns":5,"version":"1.2"},"config_sha256":"' + "ab" * 32 + '",'
        '"detail":"d","identifier_bytes":61000,"identifier_sha256":"' + "02" * 32 + '",'
        '"listener":"127.0.0.1:4317","peer":"10.0.0.7:4711","service":"s","transport":"grpc",'
        '"writer":null}'
    )


def test_stream_opened_of_a_sender_with_a_token_names_it_and_whom_it_may_speak_for() -> None:
    peer = Peer(address="10.0.0.7:1", auth="token", token="shop", reporters=("shop-*", "é"))
    opened = json.loads(payloads.stream_opened(Sender(transport="grpc", peer=peer), FACTS))
    assert opened["auth"] == "token"
    assert opened["authenticated"] == {
        "spiffe_id": None,
        "certificate_sha256": None,
        "token": "shop",
        "reporters": ["shop-*", "é"],
    }


def test_stream_opened_of_the_collector_itself_says_nothing_of_a_peer() -> None:
    assert payloads.stream_opened(Sender(transport="self", writer="collect"), FACTS).decode() == (
        '{"auth":"none","authenticated":{"certificate_sha256":null,"reporters":null,'
        '"spiffe_id":null,"token":null},"claimed":null,"collector":{"started_ns":5,"version":"1.2"},"config_sha256":"'
        + "ab"
        * 32
        + '","detail":null,"identifier_bytes":null,"identifier_sha256":null,'
        '"listener":null,"peer":null,"service":null,"transport":"self","writer":"collect"}'
    )


def test_clock_and_counter_have_the_bytes_of_the_format() -> None:
    step = ClockStep(wall_ns=UnixNanos(9), collector_ns=UnixNanos(4), step_ns=5)
    assert payloads.clock_step(step) == b'{"collector_ns":4,"step_ns":5,"wall_ns":9}'
    assert payloads.counter("n", 3, from_ns=UnixNanos(1), until_ns=UnixNanos(4)) == (
        b'{"from_ns":1,"name":"n","until_ns":4,"value":3}'
    )
