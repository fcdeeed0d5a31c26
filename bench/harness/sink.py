"""An access log service that receives and does nothing: the floor under every collector.

    python -m bench.harness.sink

Prints its port, receives until its standard input ends, then prints what came and its CPU time.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

import grpc

from tests.rig.receiver import METHOD, SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def receive_until_told() -> None:
    """Serve until standard input ends."""
    frames_count = frames_bytes = 0

    async def stream_access_logs(
        messages: AsyncIterator[bytes], _: grpc.aio.ServicerContext[bytes, bytes]
    ) -> bytes:
        nonlocal frames_count, frames_bytes
        async for message in messages:
            frames_count += 1
            frames_bytes += len(message)
        return b""

    server = grpc.aio.server()
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(
        stream_access_logs
    )
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    started_cpu = time.process_time()
    await asyncio.to_thread(sys.stdin.read)
    cpu_s = time.process_time() - started_cpu
    await server.stop(grace=None)
    print(json.dumps({"frames_count": frames_count, "bytes": frames_bytes, "cpu_s": cpu_s}))


if __name__ == "__main__":
    asyncio.run(receive_until_told())
