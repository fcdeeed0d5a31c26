from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.address import parse_address
from meshtrail.errors import ConfigError
from meshtrail.http.server import Server, open_socket

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


def test_a_port_that_is_taken_is_a_clear_refusal() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError) as caught:
            open_socket(parse_address(address), option="--http")
    assert caught.value.facts["address"] == address
    assert "Is another process listening there?" in caught.value.message


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "[::1]:0"])
def test_port_0_takes_a_free_one(address: str) -> None:
    if address.startswith("[") and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with open_socket(parse_address(address), option="--http") as listening:
        assert listening.getsockname()[1] > 0


def test_the_servers_signals_are_left_to_the_process() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None: ...

    async def run() -> None:
        before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
        heard: list[object] = []

        def ready() -> None:
            heard.extend(signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT))
            server.should_exit = True

        server = Server(app, connections_max=2, on_ready=ready)
        with open_socket(parse_address("127.0.0.1:0"), option="--http") as listening:
            await server.serve([listening])
        assert heard == before

    asyncio.run(run())
