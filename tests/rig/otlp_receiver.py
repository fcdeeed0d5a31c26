"""OTLP services that keep every export as it came: the rig's stand-in for a collector."""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVICE = "opentelemetry.proto.collector.logs.v1.LogsService"
TRACES_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
METHOD = "Export"
THREADS = 4


@contextlib.contextmanager
def running_otlp_receiver(
    take: Callable[[bytes], None], *, take_spans: Callable[[bytes], None] | None = None
) -> Iterator[int]:
    """Receive in the clear on a free loopback port, which is what is yielded.

    Args:
        take: called with the exact bytes of each export of logs, from several threads.
        take_spans: likewise of spans; None answers them with UNIMPLEMENTED.
    """

    def export(take_one: Callable[[bytes], None]) -> grpc.RpcMethodHandler[bytes, bytes]:
        def answer(body: bytes, _: grpc.ServicerContext) -> bytes:
            take_one(body)
            return b""

        # Neither a deserialiser nor a serialiser: the bytes are the message.
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
        return handler

    takes = {SERVICE: take} if take_spans is None else {SERVICE: take, TRACES_SERVICE: take_spans}
    server = grpc.server(ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(service, {METHOD: export(take_one)})
            for service, take_one in takes.items()
        )
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()
