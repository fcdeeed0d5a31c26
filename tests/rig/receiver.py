"""Services that keep every message as it came: the rig's stand-in for a collector."""

from __future__ import annotations

import contextlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SERVICE = "envoy.service.accesslog.v3.AccessLogService"
METHOD = "StreamAccessLogs"
STREAMS_MAX = 32


@contextlib.contextmanager
def running_receiver(
    take: Callable[[int, bytes], None], *, credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """Receive access logs on a free loopback port, which is what is yielded.

    Args:
        take: called with the stream's number, from 0, and the exact bytes of each message; calls
            of one stream come in order, those of several streams from several threads.
        credentials: TLS of the server; None receives in the clear.
    """
    with running_services({(SERVICE, METHOD): take}, credentials=credentials) as port:
        yield port


@contextlib.contextmanager
def running_services(
    takes: Mapping[tuple[str, str], Callable[[int, bytes], None]],
    *,
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[int]:
    """Receive streams of several services on a free loopback port, which is what is yielded.

    Args:
        takes: by service and method; as ``take`` of ``running_receiver``. What is called besides
            is answered with UNIMPLEMENTED.
        credentials: as there.
    """
    numbers = itertools.count()

    def receive(take: Callable[[int, bytes], None]) -> grpc.RpcMethodHandler[bytes, bytes]:
        def stream(messages: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
            number = next(numbers)
            with contextlib.suppress(grpc.RpcError):  # how the end of a client's process looks here
                for message in messages:
                    take(number, message)
            return b""

        # Neither a deserialiser nor a serialiser: the bytes are the message.
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(stream)
        return handler

    server = grpc.server(ThreadPoolExecutor(STREAMS_MAX))
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(service, {method: receive(take)})
            for (service, method), take in takes.items()
        )
    )
    address = "127.0.0.1:0"
    if credentials is None:
        port = server.add_insecure_port(address)
    else:
        port = server.add_secure_port(address, credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()
