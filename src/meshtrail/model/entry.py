"""The entry: a 32-byte header and the exact bytes of one record.

Specified in docs/formats/entry.md; golden bytes in tests/vectors. Columns of headers are numpy
structured arrays, so that a batch is encoded and decoded without an object for each entry.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, Any

import numpy as np

from meshtrail.errors import EntryFormatError
from meshtrail.units import UnixNanos

if TYPE_CHECKING:
    import numpy.typing as npt

ENTRY_VERSION = 1
HEADER_BYTES = 32
ENTRY_BYTES_MAX = 65_535
PAYLOAD_BYTES_MAX = ENTRY_BYTES_MAX - HEADER_BYTES
PREFIX_HEAD_BYTES = 40
"""SHA-256 and u64 length that stand before the kept beginning of a record that is a blob."""
SALT_BYTES = 16

_HEADER = struct.Struct(">BBHHHqqq")

HEADER_DTYPE = np.dtype(
    [
        ("version", "u1"),
        ("entry_type", "u1"),
        ("payload_format", ">u2"),
        ("flags", ">u2"),
        ("reserved", ">u2"),
        ("received_ns", ">i8"),
        ("stream", ">i8"),
        ("seq", ">i8"),
    ]
)
"""The header as a numpy record, byte for byte: ``np.frombuffer(headers, HEADER_DTYPE)``."""


class EntryType(IntEnum):
    """What an entry is about."""

    RECORD = 1
    STREAM_OPENED = 2
    STREAM_CLOSED = 3
    CLOCK = 4
    COUNTER = 5
    GAP = 6
    FINDING = 8


class PayloadFormat(IntEnum):
    """How the bytes behind the header are to be read."""

    MESHTRAIL_JSON = 1
    ALS_HTTP = 16
    ALS_TCP = 17
    ALS_FRAME = 18
    OTLP_LOG = 32
    OTLP_SPAN = 33
    OTLP_LOG_JSON = 34
    OTLP_SPAN_JSON = 35
    OTLP_METRICS = 36
    OTLP_METRICS_JSON = 37
    OTLP_FRAME = 38
    ENVOY_METRICS = 40
    ENVOY_METRICS_FRAME = 41
    KUBERNETES_AUDIT_JSON = 48
    ENVOY_JSON = 64
    ISTIO_JSON = 65
    ISTIO_TEXT = 66
    ZTUNNEL = 67
    LINKERD = 68
    HUBBLE = 69
    INVENTORY = 80
    GIT_LOG = 81
    GITHUB = 82
    GITLAB = 83
    BODY_FRAME = 96


class EntryFlags(IntFlag):
    """What stands in the payload besides the record's bytes."""

    PREFIX = 1
    FILTERED = 2
    SALTED = 4
    DUPLICATE = 8


_KNOWN_FLAGS = int(
    EntryFlags.PREFIX | EntryFlags.FILTERED | EntryFlags.SALTED | EntryFlags.DUPLICATE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryHeader:
    """The 32 bytes before the payload."""

    entry_type: EntryType
    payload_format: PayloadFormat
    flags: EntryFlags = EntryFlags(0)
    received_ns: UnixNanos
    stream: int
    seq: int

    def encode(self) -> bytes:
        """The header's 32 bytes."""
        return _HEADER.pack(
            ENTRY_VERSION,
            self.entry_type,
            self.payload_format,
            self.flags,
            0,
            self.received_ns,
            self.stream,
            self.seq,
        )


def decode_header(entry: bytes) -> EntryHeader:
    """Read the header of an entry.

    Raises:
        EntryFormatError: the bytes are not an entry of version 1, or use a code, flag or reserved
            bit that this version does not know.
    """
    if not HEADER_BYTES <= len(entry) <= ENTRY_BYTES_MAX:
        raise EntryFormatError(
            f"an entry has {HEADER_BYTES} to {ENTRY_BYTES_MAX} bytes, got {len(entry)}",
            entry_bytes=len(entry),
        )
    version, kind, payload_format, flags, reserved, received_ns, stream, seq = _HEADER.unpack_from(
        entry
    )
    if version != ENTRY_VERSION or reserved or flags & ~_KNOWN_FLAGS or stream < 1 or seq < 0:
        raise EntryFormatError(
            f"not a version {ENTRY_VERSION} entry header: {bytes(entry[:HEADER_BYTES]).hex()}"
        )
    try:
        return EntryHeader(
            entry_type=EntryType(kind),
            payload_format=PayloadFormat(payload_format),
            flags=EntryFlags(flags),
            received_ns=UnixNanos(received_ns),
            stream=stream,
            seq=seq,
        )
    except ValueError as error:
        raise EntryFormatError(f"entry header with an unknown code: {error}") from error


def headers_array(entries_count: int) -> npt.NDArray[Any]:
    """An array of ``entries_count`` version-1 headers, every other field 0."""
    headers = np.zeros(entries_count, dtype=HEADER_DTYPE)
    headers["version"] = ENTRY_VERSION
    return headers


def prefix_payload(whole: bytes) -> bytes:
    """The payload of an entry whose record is too large: digest, length and beginning.

    Returns:
        At most ``PAYLOAD_BYTES_MAX`` bytes; the entry carries ``EntryFlags.PREFIX``.
    """
    head = hashlib.sha256(whole).digest() + struct.pack(">Q", len(whole))
    return head + whole[: PAYLOAD_BYTES_MAX - PREFIX_HEAD_BYTES]


@dataclass(frozen=True, slots=True)
class PrefixPayload:
    """What an entry with the prefix flag says about the blob that holds its record."""

    sha256: bytes
    whole_bytes: int
    beginning: bytes


def decode_prefix(payload: bytes) -> PrefixPayload:
    """Read the payload of an entry with the prefix flag.

    Raises:
        EntryFormatError: shorter than its head, or not the beginning of something longer.
    """
    if len(payload) < PREFIX_HEAD_BYTES:
        raise EntryFormatError(
            f"a prefix payload has at least {PREFIX_HEAD_BYTES} bytes, got {len(payload)}"
        )
    (whole_bytes,) = struct.unpack_from(">Q", payload, 32)
    beginning = payload[PREFIX_HEAD_BYTES:]
    if len(beginning) >= whole_bytes:
        raise EntryFormatError(
            f"a prefix of {len(beginning)} bytes cannot stand for a whole of {whole_bytes}"
        )
    return PrefixPayload(payload[:32], whole_bytes, beginning)
