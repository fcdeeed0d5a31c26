"""Arrow tables between two processes: through shared memory, announced over a socket.

A pipe would make the sender wait for the reader, and the reader copy. Here a table is written once
into memory of its own, whose descriptor goes over the socket; the reader maps it, and the memory is
free when both have let go of it.
"""

from __future__ import annotations

import mmap
import os
import socket
import tempfile
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from typing import Self

_ANNOUNCED: Final = b"t"
_BUFFER_BYTES: Final = 1 << 20


class TableChannel:
    """One end. Both ends may send at any time; an announcement never waits for the reader.

    Args:
        end: one of a connected pair of stream sockets; closed with the channel.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    @classmethod
    def pair(cls) -> tuple[Self, socket.socket]:
        """A channel, and the socket for the other end of it."""
        own, other = socket.socketpair()
        return cls(own), other

    def send(self, table: pa.Table) -> None:
        """Hand a table over.

        Args:
            table: its schema's metadata goes with it.

        Raises:
            UnavailableError: the other process is gone, or there is no memory, or no descriptor.
        """
        try:
            fd = _open_memory()
            try:
                _write(fd, table)
                socket.send_fds(self._socket, [_ANNOUNCED], [fd])
            finally:
                os.close(fd)
        except ConnectionError as error:
            raise UnavailableError("the process at the other end is gone") from error
        except OSError as error:
            raise UnavailableError(f"cannot hand over a table: {error.strerror}") from error

    def receive(self) -> pa.Table | None:
        """Wait for the next table; None when the other process is gone, or closed its end.

        Raises:
            UnavailableError: there is no memory, or no descriptor, for it.
        """
        try:
            announced, fds, _, _ = socket.recv_fds(self._socket, len(_ANNOUNCED), 1)
        except ConnectionError:
            return None
        if not announced:
            return None
        if not fds:
            raise UnavailableError("no descriptor left for a table: too many open files")
        (fd,) = fds
        try:
            mapped = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
        except OSError as error:
            raise UnavailableError(f"cannot take a table over: {error.strerror}") from error
        finally:
            os.close(fd)
        return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()

    def close(self) -> None:
        """Let the other end find the end."""
        self._socket.close()


def _write(fd: int, table: pa.Table) -> None:
    with (
        pa.OSFile(f"/dev/fd/{fd}", "wb") as file,
        pa.BufferedOutputStream(file, _BUFFER_BYTES) as stream,
        pa.ipc.new_stream(stream, table.schema) as writer,
    ):
        writer.write_table(table)


def _open_memory() -> int:
    """A file without a name that is memory; on systems that have none, one of the disk."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("meshtrail-table")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
