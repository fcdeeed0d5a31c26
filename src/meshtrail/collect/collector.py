"""The collect process: opens, receives, and ends in order."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from meshtrail.collect.address import parse_address
from meshtrail.collect.als import ALS_METHOD, ALS_SERVICE, ALS_SOURCE, AlsFramer
from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.credentials import CertificateFiles
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.otlp_doors import OtlpDoors
from meshtrail.collect.own_stream import OwnStream
from meshtrail.collect.payloads import CollectorFacts, encode_json
from meshtrail.collect.receiving import Receiving
from meshtrail.collect.sender_identity import identify_by_certificate
from meshtrail.collect.server import GrpcServer, StreamService
from meshtrail.collect.stalls import Stalls
from meshtrail.collect.stream import Stream
from meshtrail.errors import MeshtrailError
from meshtrail.journal import GroupCommit, blob_frame
from meshtrail.sources.als_frame import inspect_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import grpc

    from meshtrail.collect.diag import Diag
    from meshtrail.collect.options import CollectOptions
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.receiving import Framer
    from meshtrail.journal import JournalOptions, JournalWriter
    from meshtrail.units import Clock

CLOCK_CHECK_S = 1.0

_STREAMED: Final[dict[str, tuple[str, Callable[[StreamDoor, Stream, Peer], Framer]]]] = {
    f"/{ALS_SERVICE}/{ALS_METHOD}": (ALS_SOURCE, AlsFramer),
}
"""The methods that clients stream to: what they send there, and what makes frames of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where senders can connect.

    Attributes:
        grpc: address of the gRPC door.
        otlp_http: address of the HTTP door; None when there is none.
    """

    grpc: str
    otlp_http: str | None


async def run_collect(
    options: CollectOptions,
    *,
    journal: JournalWriter,
    clock: Clock,
    version: str,
    diag: Diag,
    stop: asyncio.Event,
    ready: Callable[[Listening], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Receive until ``stop`` is set; when this returns, everything received is durable.

    Args:
        options: where, and from whom.
        journal: open; stays open.
        clock: of the machine.
        version: of meshtrail, for stream-opened entries.
        diag: hears what happens.
        stop: take no more, finish, return.
        ready: called with the addresses once senders can connect.
        sleep: ``asyncio.sleep``, or a test's.

    Raises:
        ConfigError: the address or a certificate cannot be used.
        DurabilityError: the journal cannot be relied on; the process must end and start again.
    """
    credentials = _credentials(options, diag)
    # The generated classes take 0.2 s to import; not while the first sender waits.
    inspect_frame(b"")
    collector = _Collector(
        options,
        journal=journal,
        clock=clock,
        version=version,
        diag=diag,
        sleep=sleep,
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            await collector.run(tasks, credentials, stop, ready)
    except BaseExceptionGroup as group:
        failure = _find_failure(group)
        if failure is None:
            raise
        raise failure from group


class _Collector:
    """What one process holds together."""

    def __init__(
        self,
        options: CollectOptions,
        *,
        journal: JournalWriter,
        clock: Clock,
        version: str,
        diag: Diag,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._options = options
        self._journal = journal
        self._diag = diag
        self._sleep = sleep
        self._clock = CollectorClock(clock)
        self._config = effective_config(options, journal.options)
        self._facts = CollectorFacts(
            version=version,
            started_ns=self._clock.now(),
            config_sha256=hashlib.sha256(self._config).digest(),
        )
        self._stalls = Stalls(clock=self._clock, diag=diag, seal=self._seal_counter)
        self._commit = GroupCommit(journal, stalls=self._stalls, sleep=sleep)
        self._own = OwnStream(commit=self._commit, clock=self._clock, diag=diag)
        self._door = StreamDoor(listener=options.grpc, collector=self._facts, blobs=KnownBlobs())
        self._otlp = OtlpDoors(
            options,
            door=lambda: self._door,
            commit=self._commit,
            clock=self._clock,
            left_exports=journal.left_exports,
            identify=identify_by_certificate,
            diag=diag,
        )

    async def run(
        self,
        tasks: asyncio.TaskGroup,
        credentials: grpc.ServerCredentials | None,
        stop: asyncio.Event,
        ready: Callable[[Listening], None],
    ) -> None:
        server = GrpcServer(
            parse_address(self._options.grpc),
            credentials=credentials,
            streams={
                path: StreamService(source=source, begin=partial(self._begin, make_framer))
                for path, (source, make_framer) in _STREAMED.items()
            },
            answers=self._otlp.answers(),
            identify=identify_by_certificate,
            tasks=tasks,
            streams_max=self._options.streams_max,
            message_bytes_max=self._options.message_bytes_max,
            diag=self._diag,
            sleep=self._sleep,
        )
        listener = server.address.format()
        self._door = replace(self._door, listener=listener)
        tasks.create_task(self._commit.run())
        watching = tasks.create_task(self._watch())
        try:
            self._otlp.listen()
            await self._open()
            await server.start()
            await self._otlp.start(tasks)
            ready(Listening(grpc=listener, otlp_http=self._otlp.http_address))
            self._diag.info(
                "collect_started",
                address=listener,
                otlp_http=self._otlp.http_address,
                auth="mtls" if credentials else "none",
                cut_bytes=self._journal.cut_bytes,
            )
            await stop.wait()
            await self._finish(server)
        finally:
            watching.cancel()
            await self._otlp.stop()
            await server.stop()

    async def _open(self) -> None:
        self._own.close_left_open(self._journal.left_open)
        self._commit.put([blob_frame(self._config, received_ns=self._clock.now())])
        self._own.open(self._facts)
        # Senders come in when the journal has shown that it works.
        await self._commit.flush()

    async def _finish(self, server: GrpcServer) -> None:
        self._commit.release()
        await server.drain()
        server.close_streams()
        await self._otlp.finish()
        self._stalls.finish()
        self._own.close()
        self._commit.close()
        await self._commit.flush()
        self._diag.info("collect_stopped")

    def _begin(
        self, make_framer: Callable[[StreamDoor, Stream, Peer], Framer], peer: Peer
    ) -> Receiving:
        stream = Stream()
        return Receiving(
            stream=stream,
            framer=make_framer(self._door, stream, peer),
            commit=self._commit,
            clock=self._clock,
            diag=self._diag,
            message_bytes_max=self._options.message_bytes_max,
        )

    async def _watch(self) -> None:
        while True:
            await self._sleep(CLOCK_CHECK_S)
            self._own.check_clock()
            self._otlp.look()

    def _seal_counter(self, payload: bytes) -> None:
        self._own.count(payload)


def effective_config(options: CollectOptions, journal: JournalOptions) -> bytes:
    """The configuration as one JSON text, whose SHA-256 stands in stream-opened entries."""
    sections = {"collect": asdict(options), "journal": asdict(journal)}
    return encode_json(
        {
            name: {
                key: value if isinstance(value, int) or value is None else str(value)
                for key, value in section.items()
            }
            for name, section in sections.items()
        }
    )


def _credentials(options: CollectOptions, diag: Diag) -> grpc.ServerCredentials | None:
    if not (options.grpc_cert and options.grpc_key and options.grpc_client_ca):
        return None
    return CertificateFiles(
        chain=options.grpc_cert,
        key=options.grpc_key,
        client_ca=options.grpc_client_ca,
        diag=diag,
    ).server_credentials()


def _find_failure(group: BaseExceptionGroup[BaseException]) -> MeshtrailError | None:
    """The first error of ours in a group of groups."""
    for error in group.exceptions:
        found = _find_failure(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, MeshtrailError):
            return found
    return None
