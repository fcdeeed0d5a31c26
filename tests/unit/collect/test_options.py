from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshtrail.collect import CollectOptions
from meshtrail.errors import ConfigError

TLS: dict[str, Any] = {"grpc_cert": Path("c"), "grpc_key": Path("k"), "grpc_client_ca": Path("a")}


def test_default_is_plaintext_on_loopback_at_the_port_of_otlp() -> None:
    options = CollectOptions()
    assert options.grpc == "127.0.0.1:4317"
    assert not options.is_mtls
    assert options.message_bytes_max == 16 << 20
    assert options.streams_max == 10_000


@pytest.mark.parametrize("address", ["0.0.0.0:4317", "10.0.0.1:4317", "[::]:4317", "host:4317"])
def test_plaintext_off_loopback_is_refused_and_the_message_says_what_to_do(address: str) -> None:
    with pytest.raises(ConfigError, match=r"give grpc_cert, .* or listen on 127\.0\.0\.1"):
        CollectOptions(grpc=address)
    assert CollectOptions(grpc=address, **TLS).is_mtls


@pytest.mark.parametrize("missing", TLS)
def test_part_of_mtls_is_refused(missing: str) -> None:
    tls: dict[str, Any] = TLS | {missing: None}
    with pytest.raises(ConfigError, match="all three"):
        CollectOptions(**tls)


BOUNDS = [
    "message_bytes_max",
    "streams_max",
    "otlp_requests_max",
    "otlp_streams_max",
    "otlp_connection_streams_max",
    "otlp_connections_max",
]


@pytest.mark.parametrize("name", BOUNDS)
def test_bound_below_one_is_refused(name: str) -> None:
    bounds: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=name):
        CollectOptions(**bounds)


def test_otlp_over_http_is_on_loopback_or_off() -> None:
    assert CollectOptions().otlp_http == "127.0.0.1:4318"
    assert CollectOptions().is_otlp_http_on
    assert not CollectOptions(otlp_http="off").is_otlp_http_on
    for address in ("0.0.0.0:4318", "[::]:4318", "collector:4318"):
        with pytest.raises(ConfigError, match="not a loopback address"):
            CollectOptions(otlp_http=address)
    with pytest.raises(ConfigError, match="is not an address"):
        CollectOptions(otlp_http="on")


def test_room_for_exports_is_enough_for_the_largest_packed_and_unpacked() -> None:
    CollectOptions(message_bytes_max=1_000, otlp_bytes_max=4_000)
    with pytest.raises(ConfigError, match="otlp_bytes_max must be at least 4 times"):
        CollectOptions(message_bytes_max=1_000, otlp_bytes_max=3_999)
