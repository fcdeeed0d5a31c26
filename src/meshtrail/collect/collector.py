"""The collect process: opens, receives, and ends in order."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshtrail.collect.address import parse_address
from meshtrail.collect.als import ALS_METHOD, ALS_SERVICE, ALS_SOURCE, AlsFramer
from meshtrail.collect.authenticator import Authenticator
from meshtrail.collect.clock import CollectorClock
from meshtrail.collect.credentials import CertificateFiles
from meshtrail.collect.export_doors import ExportDoors
from meshtrail.collect.metrics import (
    METRICS_METHOD,
    METRICS_SERVICE,
    METRICS_SOURCE,
    MetricsFramer,
)
from meshtrail.collect.opening import KnownBlobs, StreamDoor
from meshtrail.collect.options import OFF
from meshtrail.collect.own_stream import OwnStream
from meshtrail.collect.payloads import CollectorFacts, encode_json
from meshtrail.collect.receiving import Receiving
from meshtrail.collect.server import GrpcServer, StreamService
from meshtrail.collect.stalls import Stalls
from meshtrail.collect.stream import Stream
from meshtrail.collect.tail import Tail, TailFigures
from meshtrail.collect.token_file import TokenFile
from meshtrail.errors import MeshtrailError
from meshtrail.journal import GroupCommit, blob_frame
from meshtrail.sources.als_frame import inspect_frame

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable

    import grpc

    from meshtrail.collect.diag import Diag
    from meshtrail.collect.options import CollectOptions
    from meshtrail.collect.peer import Peer
    from meshtrail.collect.receiving import Framer
    from meshtrail.collect.sender_refusals import SenderRefusals
    from meshtrail.journal import JournalOptions, JournalWriter
    from meshtrail.units import Clock

CLOCK_CHECK_S = 1.0

_TAIL_SECONDS_MAX: Final = 2.0

_STREAMED: Final[dict[str, tuple[str, Callable[[StreamDoor, Stream, Peer], Framer]]]] = {
    f"/{ALS_SERVICE}/{ALS_METHOD}": (ALS_SOURCE, AlsFramer),
    f"/{METRICS_SERVICE}/{METRICS_METHOD}": (METRICS_SOURCE, MetricsFramer),
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
    refusals: SenderRefusals,
    diag: Diag,
    stop: asyncio.Event,
    ready: Callable[[Listening], None],
    tail_figures: TailFigures | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Receive until ``stop`` is set; when this returns, everything received is durable.

    Args:
        options: where, and from whom.
        journal: open; stays open.
        clock: of the machine.
        version: of meshtrail, for stream-opened entries.
        refusals: counts the senders that are not let in.
        diag: hears what happens.
        stop: take no more, finish, return.
        ready: called with the addresses once senders can connect.
        tail_figures: is told how files are read.
        sleep: ``asyncio.sleep``, or a test's.

    Raises:
        ConfigError: the address, a certificate or the tokens cannot be used.
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
        refusals=refusals,
        tail_figures=tail_figures or TailFigures(),
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
        refusals: SenderRefusals,
        tail_figures: TailFigures,
        diag: Diag,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._options = options
        self._journal = journal
        self._refusals = refusals
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
        self._tokens = TokenFile(options.tokens, diag=diag) if options.tokens else None
        self._door = StreamDoor(listener=options.grpc, collector=self._facts, blobs=KnownBlobs())
        self._authenticator = self._make_authenticator(options.grpc)
        self._otlp = ExportDoors(
            options,
            door=lambda: self._door,
            commit=self._commit,
            clock=self._clock,
            left_exports=journal.left_exports,
            grpc_authenticator=self._authenticator,
            http_authenticator=self._make_authenticator(options.otlp_http),
            tls=_http_tls(options, diag),
            diag=diag,
        )
        self._tail = Tail(
            options.tail,
            journal=self._commit,
            left=journal.left_positions,
            files_max=options.tail_files_max,
            line_bytes_max=options.message_bytes_max,
            collector=self._facts,
            own_frame=self._own.frame,
            clock=self._clock,
            figures=tail_figures,
            diag=diag,
            sleep=sleep,
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
                path: StreamService(source=source, begin=partial(self._begin, source, make_framer))
                for path, (source, make_framer) in _STREAMED.items()
            },
            answers=self._otlp.answers(),
            identify=self._authenticator.identify,
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
            tailing = tasks.create_task(self._tail.run())
            ready(Listening(grpc=listener, otlp_http=self._otlp.http_address))
            self._diag.info(
                "collect_started",
                address=listener,
                otlp_http=self._otlp.http_address,
                security=self._options.describe_security(),
                cut_bytes=self._journal.cut_bytes,
            )
            await stop.wait()
            await self._finish(server, tailing)
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

    async def _finish(self, server: GrpcServer, tailing: asyncio.Task[None]) -> None:
        self._commit.release()
        self._tail.stop()
        # On a full disk it waits for room without end. What it has in hand was not put, nor the
        # position behind it: the next process reads it again.
        if tailing in (await asyncio.wait([tailing], timeout=_TAIL_SECONDS_MAX))[1]:
            tailing.cancel()
        self._tail.close()
        await server.drain()
        server.close_streams()
        await self._otlp.finish()
        self._stalls.finish()
        self._refusals.tell(now_ns=self._clock.now())
        self._own.close()
        self._commit.close()
        await self._commit.flush()
        self._diag.info("collect_stopped")

    def _make_authenticator(self, listener: str) -> Authenticator:
        """Who says who the senders of a listener are."""
        return Authenticator(
            is_loopback=listener == OFF or parse_address(listener).is_loopback,
            is_mtls=self._options.is_mtls,
            forwarders=self._options.forwarders(),
            tokens=self._tokens,
            now=self._clock.now,
            refusals=self._refusals,
        )

    def _begin(
        self, source: str, make_framer: Callable[[StreamDoor, Stream, Peer], Framer], peer: Peer
    ) -> Receiving:
        stream = Stream()
        return Receiving(
            stream=stream,
            framer=make_framer(self._door, stream, peer),
            commit=self._commit,
            clock=self._clock,
            diag=self._diag,
            message_bytes_max=self._options.message_bytes_max,
            check_sender=partial(self._authenticator.check_again, peer, source),
        )

    async def _watch(self) -> None:
        while True:
            await self._sleep(CLOCK_CHECK_S)
            self._own.check_clock()
            self._otlp.look()
            self._refusals.look(now_ns=self._clock.now())

    def _seal_counter(self, payload: bytes) -> None:
        self._own.count(payload)


def effective_config(options: CollectOptions, journal: JournalOptions) -> bytes:
    """The configuration as one JSON text, whose SHA-256 stands in stream-opened entries."""
    sections = {"collect": asdict(options), "journal": asdict(journal)}
    return encode_json(_plain(sections))


def _plain(value: object) -> object:
    """Options as JSON has them, paths as text."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value


def _certificates(options: CollectOptions, diag: Diag) -> CertificateFiles | None:
    """The certificates of one door, each of which sees for itself when they change."""
    if options.tls_cert is None or options.tls_key is None:
        return None
    return CertificateFiles(
        chain=options.tls_cert, key=options.tls_key, client_ca=options.tls_client_ca, diag=diag
    )


def _credentials(options: CollectOptions, diag: Diag) -> grpc.ServerCredentials | None:
    files = _certificates(options, diag)
    return None if files is None else files.server_credentials()


def _http_tls(options: CollectOptions, diag: Diag) -> ssl.SSLContext | None:
    files = _certificates(options, diag) if options.is_otlp_http_on else None
    if files is None:
        return None
    # Who sends webhooks or shows a token has no certificate.
    is_other_taken = options.tokens is not None or options.webhooks.is_on
    return files.server_context(is_certificate_needed=not is_other_taken)


def _find_failure(group: BaseExceptionGroup[BaseException]) -> MeshtrailError | None:
    """The first error of ours in a group of groups."""
    for error in group.exceptions:
        found = _find_failure(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, MeshtrailError):
            return found
    return None
