from __future__ import annotations

from typing import Any

import pytest

from tests.otlp_spans import ENVOY_TAGS, REQUEST_ID, ROUTER_TAGS, event

SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER = 2, 3, 1, 4, 5


@pytest.mark.parametrize(
    ("column", "keys", "values"),
    [
        ("http_request_method", ("http.request.method", "http.method"), ("PUT", "GET")),
        (
            "http_response_status_code",
            ("http.response.status_code", "http.status_code"),
            (503, 200),
        ),
        ("url_scheme", ("url.scheme", "http.scheme"), ("https", "http")),
        ("server_address", ("server.address", "http.host"), ("pay", "shop:80")),
        ("server_address", ("http.host", "net.host.name"), ("shop:80", "pod")),
        ("server_address", ("net.host.name", "grpc.authority"), ("pod", "shop")),
        ("user_agent_original", ("user_agent.original", "http.user_agent"), ("a/1", "b/1")),
        ("user_agent_original", ("http.user_agent", "user_agent"), ("b/1", "c/1")),
        (
            "http_request_body_size",
            ("http.request.body.size", "http.request_content_length"),
            (5, 6),
        ),
        ("http_request_body_size", ("http.request_content_length", "request_size"), (6, 7)),
        (
            "http_response_body_size",
            ("http.response.body.size", "http.response_content_length"),
            (5, 6),
        ),
        ("http_response_body_size", ("http.response_content_length", "response_size"), (6, 7)),
        ("url_path", ("url.path", "http.target"), ("/a", "/b")),
        ("url_path", ("http.target", "http.url"), ("/b", "http://h/c")),
        ("rpc_grpc_status_code", ("rpc.grpc.status_code", "grpc.status_code"), (0, 7)),
        ("envoy_upstream_cluster", ("upstream_cluster.name", "upstream_cluster"), ("a", "b")),
        ("src_ip", ("network.peer.address", "net.sock.peer.addr"), ("10.0.0.1", "10.0.0.2")),
        ("src_ip", ("net.sock.peer.addr", "net.peer.ip"), ("10.0.0.2", "10.0.0.3")),
        ("dst_ip", ("network.local.address", "net.sock.host.addr"), ("10.0.0.1", "10.0.0.2")),
        ("dst_ip", ("net.sock.host.addr", "net.host.ip"), ("10.0.0.2", "10.0.0.3")),
        (
            "http_request_content_type",
            ("http.request.header.content-type", "grpc.content_type"),
            (["text/plain"], "application/grpc"),
        ),
        (
            "http_request_forwarded_for",
            ("http.request.header.x-forwarded-for", "http.request.header.x_forwarded_for"),
            (["192.0.2.1"], ["192.0.2.2"]),
        ),
    ],
)
def test_of_two_spellings_the_newer_counts_and_each_alone_is_read(
    column: str, keys: tuple[str, str], values: tuple[Any, Any]
) -> None:
    new, old = dict(zip(keys, values, strict=True)).items()
    told = event(dict([old]))[column]
    newer = event(dict([new]))[column]
    assert told != newer
    assert event(dict([old, new]))[column] == event(dict([new, old]))[column] == newer


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"http.url": "http://h:1/a?b=1"}, ("http", "h:1", "/a", "b=1")),
        ({"url.full": "https://user:secret@h/a"}, ("https", "h", "/a", None)),
        ({"url.full": "https://h"}, ("https", "h", None, None)),
        ({"url.full": "https://h?x"}, ("https", "h", "", "x")),
        ({"url.full": "https://h/a?b?c#d"}, ("https", "h", "/a", "b?c#d")),
        ({"url.full": "/a"}, (None, None, None, None)),
        ({"url.full": "1a://h/a"}, (None, None, None, None)),
        ({"url.full": "http:///a\nb"}, ("http", None, "/a\nb", None)),
        ({"http.target": "/a?"}, (None, None, "/a", "")),
        ({"http.target": "/a?b?c"}, (None, None, "/a", "b?c")),
        ({"url.path": "/a?b"}, (None, None, "/a?b", None)),
        ({"url.path": "/a", "url.query": "b"}, (None, None, "/a", "b")),
        # The query of another spelling's path is not this path's.
        ({"url.path": "/a", "http.target": "/b?c"}, (None, None, "/a", None)),
        (
            {"url.full": "https://h/new?n", "http.url": "http://g/old?o", "http.target": "/t?q"},
            ("https", "h", "/new", "n"),
        ),
        ({"http.url": "http://g/old", "url.scheme": "https"}, ("https", "g", "/old", None)),
    ],
)
def test_a_url_is_taken_apart_and_a_part_of_its_own_comes_first(
    attributes: dict[str, str], wanted: tuple[str | None, ...]
) -> None:
    row = event(attributes)
    names = ("url_scheme", "server_address", "url_path", "url_query")
    assert tuple(row.get(name) for name in names) == wanted


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        (SERVER, {"src_ip": "10.0.0.1", "src_port": 1, "dst_ip": "10.0.0.2", "dst_port": 2}),
        (CONSUMER, {"src_ip": "10.0.0.1", "src_port": 1, "dst_ip": "10.0.0.2", "dst_port": 2}),
        (CLIENT, {"dst_ip": "10.0.0.1", "dst_port": 1, "src_ip": "10.0.0.2", "src_port": 2}),
        (PRODUCER, {"dst_ip": "10.0.0.1", "dst_port": 1, "src_ip": "10.0.0.2", "src_port": 2}),
        (INTERNAL, {}),
        (0, {}),
    ],
)
def test_the_kind_of_a_span_says_which_end_its_peer_is(kind: int, ends: dict[str, object]) -> None:
    attributes = {
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 1,
        "network.local.address": "10.0.0.2",
        "network.local.port": "2",
        # Whoever sends a request writes these.
        "client.address": "192.0.2.1",
        "http.client_ip": "192.0.2.1",
    }
    row = event(attributes, kind=kind)
    assert {name: row[name] for name in row if name[4:] in {"ip", "port"}} == ends


def test_a_port_stands_only_beside_its_address() -> None:
    assert "src_port" not in event({"network.peer.port": 1})
    assert "src_port" not in event({"network.peer.address": "/run/socket", "network.peer.port": 1})
    far = event({"network.peer.address": "::1", "network.peer.port": 65_536})
    assert (far["src_ip"], far.get("src_port")) == ("::1", None)
    # Envoy's tag has no port of its own, and gets none from another spelling.
    mixed = event({"component": "proxy", "peer.address": "10.0.0.5", "network.peer.port": 1})
    assert (mixed["src_ip"], mixed.get("src_port")) == ("10.0.0.5", None)


def test_the_name_of_the_peer_is_the_server_of_a_client_and_of_nobody_else() -> None:
    names = {"net.peer.name": "peer", "net.host.name": "host"}
    assert event(names, kind=CLIENT)["server_address"] == "peer"
    assert event(names, kind=SERVER)["server_address"] == "host"
    assert "server_address" not in event(names, kind=INTERNAL)


def test_tags_of_envoy_mean_addresses_only_where_a_proxy_wrote_them() -> None:
    tags = {"peer.address": "10.0.0.5", "upstream_address": "[fd00::9]:8443"}
    proxy = event({**tags, "component": "proxy"}, kind=CLIENT)
    assert [proxy[name] for name in ("src_ip", "dst_ip", "dst_port")] == [
        *("10.0.0.5", "fd00::9", 8443)
    ]
    assert event(tags, kind=CLIENT).keys().isdisjoint({"src_ip", "dst_ip"})


def test_side_is_read_from_the_names_of_clusters_and_never_from_the_kind() -> None:
    # Envoy calls the span of an outgoing listener a client's, and a server's as soon as
    # spawn_upstream_span is on.
    for kind in (SERVER, CLIENT):
        sides = [
            event({**ENVOY_TAGS, "upstream_cluster.name": name}, kind=kind).get("side")
            for name in ("inbound|80||", "outbound|80||x", "payments", "")
        ]
        assert sides == ["destination", "source", None, "source"]
    assert "side" not in event({**ROUTER_TAGS, "component": "java"})


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"rpc.service": "a.B", "rpc.method": "C", "rpc.system": "grpc"}, "a.B/C"),
        ({"rpc.service": "a.B", "rpc.method": "a.B/C"}, "a.B/C"),
        ({"rpc.method": "C"}, "C"),
        ({"rpc.service": "a.B"}, None),
        ({"grpc.path": "/a.B/C"}, "a.B/C"),
        ({"grpc.path": "/a.B/C", "rpc.method": "x.Y/Z"}, "x.Y/Z"),
        ({"rpc.service": "S3", "rpc.method": "GetObject", "rpc.system": "aws-api"}, None),
        ({"rpc.system.name": "grpc", "rpc.system": "aws-api", "rpc.method": "C"}, "C"),
    ],
)
def test_an_rpc_method_is_service_and_method_of_grpc(
    attributes: dict[str, str], wanted: str | None
) -> None:
    assert event(attributes).get("rpc_method") == wanted


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        ({"rpc.response.status_code": "NOT_FOUND"}, 5),
        ({"rpc.response.status_code": "5"}, 5),
        ({"rpc.response.status_code": "OK", "rpc.grpc.status_code": 3}, 0),
        ({"rpc.response.status_code": "strange", "rpc.grpc.status_code": 3}, 3),
        ({"rpc.grpc.status_code": 0}, 0),
        ({"grpc.status_code": "12"}, 12),
        ({"rpc.grpc.status_code": 2, "rpc.system": "connect_rpc"}, None),
    ],
)
def test_a_grpc_status_is_a_number_or_its_name(
    attributes: dict[str, object], wanted: int | None
) -> None:
    assert event(attributes).get("rpc_grpc_status_code") == wanted


def test_a_protocol_is_a_version_of_http_or_nothing() -> None:
    spellings = {
        "HTTP/1.0": "1.0",
        "HTTP/1.1": "1.1",
        "HTTP/2": "2",
        "2.0": "2",
        "3": "3",
        "-": None,
        "SPDY": None,
        "0.9.1": None,
    }
    read = {
        text: event({"http.protocol": text}).get("network_protocol_version") for text in spellings
    }
    assert read == spellings


def test_a_request_id_that_is_no_uuid_stays_a_text() -> None:
    for key in ("http.request.header.x-request-id", "http.request.header.x_request_id"):
        row = event({key: ["order-7"], "guid:x-request-id": REQUEST_ID})
        assert (row["request_id_text"], row["request_id_trust"]) == ("order-7", "asserted")
        assert "request_id" not in row
    assert "request_id_trust" not in event()


@pytest.mark.parametrize(
    ("deny", "allow", "wanted"),
    [
        (("denied", "d"), None, ("denied", "d")),
        (None, ("denied", "a"), ("denied", "a")),
        (("allowed", "d"), ("denied", "a"), ("denied", "a")),
        (("denied", "d"), ("denied", "a"), ("denied", "d")),
        (("denied", "d"), ("allowed", "a"), ("denied", "d")),
        (("allowed", "d"), ("allowed", "a"), ("allowed", "d")),
        (None, ("allowed", "a"), ("allowed", "a")),
        (None, None, (None, None)),
    ],
)
def test_one_denial_among_policies_that_are_only_tried_makes_it_denied(
    deny: tuple[str, str] | None,
    allow: tuple[str, str] | None,
    wanted: tuple[str | None, str | None],
) -> None:
    tags: dict[str, str] = {}
    for action, said in (("deny", deny), ("allow", allow)):
        if said is not None:
            prefix = f"istio.authorization.dry_run.{action}_policy"
            tags |= {f"{prefix}.result": said[0], f"{prefix}.name": said[1]}
    row = event({**ENVOY_TAGS, **tags})
    assert (row.get("dry_run_decision"), row.get("dry_run_policy")) == wanted


def test_what_envoy_writes_for_nothing_is_null() -> None:
    row = event({**ENVOY_TAGS, "user_agent": "-", "response_flags": "-", "http.status_code": "0"})
    nothing = {"user_agent_original", "envoy_response_flags", "http_response_status_code"}
    assert row.keys().isdisjoint(nothing)
