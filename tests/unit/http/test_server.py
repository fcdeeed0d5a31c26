from __future__ import annotations

import asyncio
import http.client
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.address import parse_address
from meshtrail.demo.authority import Authority
from meshtrail.errors import ConfigError
from meshtrail.http.connection import CONNECTION
from meshtrail.http.server import Server, open_socket

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.http.asgi import Receive, Scope, Send


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


def test_the_certificate_of_a_client_is_known_to_the_application(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    listener = authority.issue("ns/mesh/sa/collector", is_named_localhost=True)
    client = authority.issue("ns/shop/sa/payments")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.bundle))
    tls.load_cert_chain(listener.chain, listener.key)
    tls.verify_mode = ssl.CERT_REQUIRED
    begin = "-----BEGIN CERTIFICATE-----"
    pem = begin + client.chain.read_text().split(begin)[1]
    heard: list[bytes | None] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        heard.append(scope["extensions"][CONNECTION].certificate_der)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(port: int) -> int:
        context = authority.client_context(client)
        connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status
        finally:
            connection.close()

    async def run() -> None:
        ready = asyncio.Event()
        server = Server(app, connections_max=2, on_ready=ready.set, tls=tls)
        with open_socket(parse_address("127.0.0.1:0"), option="--x") as listening:
            async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
                tasks.create_task(server.serve([listening]))
                await ready.wait()
                port = listening.getsockname()[1]
                assert await asyncio.to_thread(ask, port) == 204
                server.should_exit = True

    asyncio.run(run())
    assert heard == [ssl.PEM_cert_to_DER_cert(pem)]
