from __future__ import annotations

import errno
import socket
import sys

import pytest

from meshtrail.demo.loopback import LoopbackBlock, Ports
from meshtrail.errors import ConfigError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="has 127.0.0.1 alone")


def test_two_blocks_at_once_share_no_address() -> None:
    with LoopbackBlock() as one, LoopbackBlock() as other:
        assert one.ip(11) != other.ip(11)


def test_block_that_was_closed_can_be_taken_again() -> None:
    with LoopbackBlock() as one:
        ip = one.ip(11)
    with LoopbackBlock() as other:
        assert other.ip(11) == ip


def test_ports_move_together_when_one_of_them_is_taken() -> None:
    with LoopbackBlock() as block, socket.socket() as squatter:
        free = block.find_ports([11, 12])
        # Connections of a demo that ended a moment ago may linger there.
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind((block.ip(12), free.inbound))
        squatter.listen()
        moved = block.find_ports([11, 12])
        assert set(moved.numbers()).isdisjoint(free.numbers())
        by = moved.inbound - free.inbound
        assert moved == free.shifted(by)
        assert block.find_ports([11]) == free


def test_ports_are_those_of_istio_where_they_are_free() -> None:
    ports = Ports()
    assert (ports.inbound, ports.outbound, ports.admin) == (15_006, 15_001, 15_000)


def test_system_without_such_addresses_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object, /) -> None:
            raise OSError(errno.EADDRNOTAVAIL, f"cannot assign {address}")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.1\.1 .*only 127\.0\.0\.1"):
        LoopbackBlock()


def test_machine_on_which_everything_is_taken_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken(socket.socket):
        def bind(self, address: object, /) -> None:
            raise OSError(errno.EADDRINUSE, f"{address} is taken")

    monkeypatch.setattr(socket, "socket", Taken)
    with pytest.raises(ConfigError, match="are taken"):
        LoopbackBlock()
