"""The start and the end of one long connection through a real Envoy, joined by its number."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo.authority import Authority
from tests.e2e import wired_proxy as wired
from tests.rig.envoy import Envoy
from tests.rig.recorder import ROOT, running_recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.recorder import Recorder

Row = dict[str, Any]

SEAL_S_MAX = 60.0
LOOPBACK = "127.0.0.1"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
STARTED = "envoy_access_log_type:TcpUpstreamConnected"
ENDED = "reporter_log_name:listener_envoy_accesslog AND source:envoy-als"


@dataclass(frozen=True, slots=True)
class World:
    """A recorder, and a proxy's listener that ends TLS without inspecting it."""

    recorder: Recorder
    authority: Authority
    port: int

    def wait_for(self, query: str) -> Row:
        """The one row that a query finds, once it is sealed."""
        wait_until(
            lambda: len(self.recorder.search(query)) > 0,
            f"{query} is sealed",
            seconds_max=SEAL_S_MAX,
        )
        [row] = self.recorder.search(query)
        return row


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority = Authority(tmp_path / "authority")
    collector = authority.issue("ns/meshtrail/sa/meshtrail")
    payments = authority.issue("ns/shop/sa/payments")
    with contextlib.ExitStack() as stack:
        recorder = stack.enter_context(running_recorder(tmp_path, tls=(authority, collector)))
        echo_port = stack.enter_context(wired.running_echo_upstream())
        files = ["--cert", str(payments.chain), "--key", str(payments.key)]
        files += ["--ca", str(authority.bundle), "--collector-spiffe-id", collector.spiffe_id]
        [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{recorder.port}", *files)
        listener = wired.listener(
            "inbound",
            wired.tcp_proxy(added=pieces["tcp_proxy"], cluster="inbound|9000||"),
            added=pieces["listener"],
            tls=wired.downstream_tls(authority, payments),
        )
        config = wired.bootstrap(
            listeners=[listener],
            clusters=[*pieces["clusters"], wired.cluster("inbound|9000||", echo_port)],
        )
        envoy = stack.enter_context(Envoy("lasting", config, directory=tmp_path))
        yield World(recorder, authority, envoy.ports()["inbound"])


def documented_sql() -> str:
    """The statement that the documents give for it."""
    text = (ROOT / "docs" / "query-language.md").read_text(encoding="utf-8")
    [statement] = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
    return str(statement)


def joined(world: World) -> Row:
    """The one connection that the documented statement finds."""
    printed = world.recorder.run("search", "--sql", documented_sql(), "--format", "json")
    [row] = [json.loads(line) for line in printed.split("\n") if line]
    return dict(row)


def test_start_and_end_of_a_long_connection_are_joined(world: World) -> None:
    context = world.authority.client_context(world.authority.issue("ns/shop/sa/frontend"))
    with socket.create_connection((LOOPBACK, world.port), SEAL_S_MAX) as raw:
        # The proxy reaches its upstream before the caller has said a word of TLS.
        start = world.wait_for(STARTED)
        assert (start["kind"], start["src_port"]) == ("connection", raw.getsockname()[1])
        assert "src_spiffe_id" not in start
        assert "tls_protocol_version" not in start
        number = start["envoy_connection_id"]
        assert joined(world) == {
            "reporter_id": start["reporter_id"],
            "envoy_connection_id": number,
            "started": start["time"],
        }
        with context.wrap_socket(raw, server_hostname="payments.shop") as stream:
            stream.sendall(b"settle")
            assert stream.recv(4096) == b"settle"
    end = world.wait_for(ENDED)
    assert joined(world) == {
        "reporter_id": start["reporter_id"],
        "envoy_connection_id": number,
        "started": start["time"],
        "ended": end["end_time"],
        "caller": FRONTEND,
        "trust": "attested",
        "bytes_received": len(b"settle"),
        "bytes_sent": len(b"settle"),
    }
    # Envoy goes on saying 1.2, having been asked before anything was agreed on.
    assert end["tls_protocol_version"] == "1.3"
    assert (end["dst_spiffe_id"], end["dst_spiffe_id_trust"]) == (PAYMENTS, "attested")


def test_connection_is_counted_once_by_its_end(world: World) -> None:
    context = world.authority.client_context(world.authority.issue("ns/shop/sa/frontend"))
    for _ in range(2):
        with (
            socket.create_connection((LOOPBACK, world.port), SEAL_S_MAX) as raw,
            context.wrap_socket(raw, server_hostname="payments.shop") as stream,
        ):
            stream.sendall(b"settle")
            assert stream.recv(4096) == b"settle"
    wait_until(
        lambda: len(world.recorder.search("kind:connection")) == 4,
        "two starts and two ends are sealed",
        seconds_max=SEAL_S_MAX,
    )
    assert len(world.recorder.search(ENDED)) == len(world.recorder.search(STARTED)) == 2
    numbers = [row["envoy_connection_id"] for row in world.recorder.search(ENDED)]
    assert len(set(numbers)) == 2
