"""An OTLP log service that keeps every export as it came: the rig's stand-in for a collector."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"
METHOD = "Export"
THREADS = 4


@contextlib.contextmanager
def running_otlp_receiver(take: Callable[[bytes], None]) -> Iterator[int]:
    """Receive in the clear on a free loopback port, which is what is yielded.

    Args:
        take: called with the exact bytes of each export, from several threads.
    """

    def export(body: bytes, _: grpc.ServicerContext) -> bytes:
        take(body)
        return b""

    # Neither a deserialiser nor a serialiser: the bytes are the message.
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
    server = grpc.server(ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()
