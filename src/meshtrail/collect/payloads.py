"""What collect itself has to say, as meshtrail-json payloads.

Specified in docs/formats/entry.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meshtrail.collect.clock import ClockStep
    from meshtrail.collect.peer import Peer
    from meshtrail.units import UnixNanos


class CloseReason(StrEnum):
    """Why a stream ended."""

    ENDED = "ended"
    CANCELLED = "cancelled"
    ERROR = "error"
    IDLE = "idle"
    OVERFLOW = "overflow"
    SHUTDOWN = "shutdown"
    COLLECTOR_RESTARTED = "collector-restarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorFacts:
    """What every stream-opened entry says of the collector.

    Attributes:
        version: of meshtrail.
        started_ns: when this process began, on the collector's clock.
        config_sha256: of its effective configuration.
    """

    version: str
    started_ns: UnixNanos
    config_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who speaks on a stream.

    Attributes:
        transport: ``grpc``, ``http``, ``file`` or ``self``.
        writer: which of meshtrail's own processes, for ``self``.
        service: the gRPC service, also of what came over HTTP; the format of a file's lines.
        listener: the address that was listened on.
        peer: the other end of the connection; None for the collector itself.
        claimed: what the sender says of itself.
        identifier_sha256: of the bytes in which it does.
        identifier_bytes: how many they are.
        detail: what was wrong with any of this.
    """

    transport: str
    writer: str | None = None
    service: str | None = None
    listener: str | None = None
    peer: Peer | None = None
    claimed: dict[str, Any] | None = None
    identifier_sha256: bytes | None = None
    identifier_bytes: int | None = None
    detail: str | None = None


def encode_json(value: object) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces. One value, one spelling."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def stream_opened(sender: Sender, collector: CollectorFacts) -> bytes:
    """The payload of a stream-opened entry."""
    peer = sender.peer
    return encode_json(
        {
            "transport": sender.transport,
            "writer": sender.writer,
            "service": sender.service,
            "listener": sender.listener,
            "peer": peer and peer.address,
            "auth": peer.auth if peer else "none",
            "authenticated": {
                "spiffe_id": peer and peer.spiffe_id,
                "certificate_sha256": _hex(peer.certificate_sha256 if peer else None),
                "token": peer and peer.token,
                "reporters": peer and peer.reporters,
            },
            "claimed": sender.claimed,
            "identifier_sha256": _hex(sender.identifier_sha256),
            "identifier_bytes": sender.identifier_bytes,
            "detail": sender.detail,
            "config_sha256": _hex(collector.config_sha256),
            "collector": {"version": collector.version, "started_ns": collector.started_ns},
        }
    )


def stream_closed(
    reason: CloseReason, *, detail: str | None, records_count: int, frames_count: int
) -> bytes:
    """The payload of a stream-closed entry."""
    return encode_json(
        {"reason": reason, "detail": detail, "records": records_count, "frames": frames_count}
    )


def clock_step(step: ClockStep) -> bytes:
    """The payload of a clock entry."""
    return encode_json(
        {"wall_ns": step.wall_ns, "collector_ns": step.collector_ns, "step_ns": step.step_ns}
    )


def counter(name: str, value: int, *, from_ns: UnixNanos, until_ns: UnixNanos) -> bytes:
    """The payload of a counter entry."""
    return encode_json({"name": name, "value": value, "from_ns": from_ns, "until_ns": until_ns})


def file_gap(
    *,
    about: str,
    cause: str,
    path: str,
    from_ns: int,
    until_ns: UnixNanos,
    records_max: int | None,
    bytes_min: int,
    bytes_max: int | None,
    detail: str,
) -> bytes:
    """The payload of a gap entry about a file that was read as it grew.

    How many lines stood in bytes that nobody read is not known, only that there were some.
    """
    return encode_json(
        {
            "about": about,
            "cause": cause,
            "path": path,
            "from_ns": from_ns,
            "until_ns": until_ns,
            "missing_min": int(bytes_min > 0 and records_max is None),
            "missing_max": records_max,
            "bytes_min": bytes_min,
            "bytes_max": bytes_max,
            "detail": detail,
        }
    )


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()
