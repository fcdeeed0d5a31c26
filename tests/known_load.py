"""A load whose every record is known: frames for a journal, and the entries that they must become.

A sender numbers its entries when it makes a frame. What is journaled of a stream is therefore
always the beginning of what was made for it, and perhaps the closing of a restarted collector.
"""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded: the same load each time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envoy.data.accesslog.v3 import accesslog_pb2

from meshtrail.journal import Frame, Framing, blob_frame
from meshtrail.model.entry import EntryFlags, EntryType, PayloadFormat
from tests.otlp_exports import Resource, export, payloads_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meshtrail.journal import OpenStream
    from meshtrail.units import Clock
    from tests.otlp_exports import Scope

HTTP_FIELD = 2
TCP_FIELD = 3
RECORD_FIELD = 1


@dataclass(frozen=True, slots=True)
class MadeEntry:
    """What an entry has to say, its time left out."""

    entry_type: EntryType
    payload_format: PayloadFormat
    payload: bytes
    flags: EntryFlags = EntryFlags(0)


class KnownLoad:
    """Makes frames. The same seed makes the same ones, stream ids included."""

    def __init__(self, clock: Clock, *, seed: int = 1) -> None:
        self.made: dict[int, list[MadeEntry]] = defaultdict(list)
        self.blobs: set[bytes] = set()
        self._clock = clock
        self._chance = random.Random(seed)  # noqa: S311 - the same load each time

    def opened(self, *, node_id: str = "node-1") -> Frame:
        """A new stream's first frame."""
        stream = self._chance.randrange(1, 2**63)
        payload: dict[str, object] = {
            "auth": "none",
            "authenticated": None,
            "claimed": {"node_id": node_id, "log_name": "in"},
        }
        return self._own(stream, EntryType.STREAM_OPENED, payload)

    def closed(self, stream: int, *, reason: str = "ended") -> Frame:
        """A stream's last frame."""
        payload: dict[str, object] = {"reason": reason, "records": len(self.made[stream])}
        return self._own(stream, EntryType.STREAM_CLOSED, payload)

    def http(self, stream: int, count: int, *, record_bytes: int = 0) -> Frame:
        """A message of HTTP records, each with a path of its own and at least so long."""
        records = [self._http_record(stream, number, record_bytes) for number in range(count)]
        return self.als(stream, records)

    def tcp(self, stream: int, count: int) -> Frame:
        """A message of TCP records."""
        records = [
            accesslog_pb2.TCPAccessLogEntry(
                common_properties={"upstream_cluster": f"cluster-{self._next(stream)}-{number}"}
            ).SerializeToString()
            for number in range(count)
        ]
        return self._als(stream, records, field=TCP_FIELD, payload_format=PayloadFormat.ALS_TCP)

    def als(self, stream: int, records: list[bytes], *, flags: EntryFlags = EntryFlags(0)) -> Frame:
        """A message of HTTP records with these very bytes."""
        return self._als(
            stream, records, field=HTTP_FIELD, payload_format=PayloadFormat.ALS_HTTP, flags=flags
        )

    def otlp(
        self,
        stream: int,
        scopes: Sequence[Scope],
        *,
        resource: bytes | None = None,
        payload_format: PayloadFormat = PayloadFormat.OTLP_LOG,
        flags: EntryFlags = EntryFlags(0),
    ) -> Frame:
        """An export of one resource."""
        element = Resource(resource, scopes)
        return self._frame(
            stream,
            payloads_of(element),
            export(element),
            framing=Framing.OTLP,
            payload_format=payload_format,
            flags=flags,
        )

    def whole(self, stream: int, data: bytes) -> Frame:
        """A message that could not be sliced."""
        return self._frame(
            stream, [data], data, framing=Framing.WHOLE, payload_format=PayloadFormat.ALS_FRAME
        )

    def lines(self, stream: int, data: bytes, *, payload_format: PayloadFormat) -> Frame:
        """A frame of lines, empty ones among them."""
        lines = [line for line in data.split(b"\n") if line]
        return self._frame(
            stream, lines, data, framing=Framing.LINES, payload_format=payload_format
        )

    def blob(self, data: bytes) -> Frame:
        """Bytes that become a blob and no entry."""
        self.blobs.add(data)
        return blob_frame(data, received_ns=self._clock.wall_ns())

    def reopen(self, left_open: Mapping[int, OpenStream]) -> list[Frame]:
        """Close what a collector that ended left open; returns the frames of the next one."""
        frames = []
        for stream, state in left_open.items():
            del self.made[stream][state.next_seq :]
            frames.append(self.closed(stream, reason="collector-restarted"))
        return frames

    def _next(self, stream: int) -> int:
        return len(self.made[stream])

    def _http_record(self, stream: int, number: int, record_bytes: int) -> bytes:
        path = f"/{stream}/{self._next(stream) + number}/"
        record = accesslog_pb2.HTTPAccessLogEntry(
            request={"path": path + "x" * max(0, record_bytes - len(path))}
        )
        return bytes(record.SerializeToString())

    def _own(self, stream: int, entry_type: EntryType, payload: dict[str, object]) -> Frame:
        data = json.dumps(payload, sort_keys=True, separators=(",", ":")).encode()
        return self._frame(
            stream,
            [data],
            data,
            entry_type=entry_type,
            framing=Framing.WHOLE,
            payload_format=PayloadFormat.MESHTRAIL_JSON,
        )

    def _als(
        self,
        stream: int,
        records: list[bytes],
        *,
        field: int,
        payload_format: PayloadFormat,
        flags: EntryFlags = EntryFlags(0),
    ) -> Frame:
        data = wire_field(field, b"".join(wire_field(RECORD_FIELD, record) for record in records))
        return self._frame(
            stream,
            records,
            data,
            framing=Framing.ALS,
            payload_format=payload_format,
            flags=flags,
        )

    def _frame(
        self,
        stream: int,
        payloads: list[bytes],
        data: bytes,
        *,
        framing: Framing,
        payload_format: PayloadFormat,
        entry_type: EntryType = EntryType.RECORD,
        flags: EntryFlags = EntryFlags(0),
    ) -> Frame:
        frame = Frame(
            data=data,
            received_ns=self._clock.wall_ns(),
            stream=stream,
            first_seq=self._next(stream),
            records_count=len(payloads),
            entry_type=entry_type,
            framing=framing,
            payload_format=payload_format,
            flags=flags,
        )
        self.made[stream] += [
            MadeEntry(entry_type, payload_format, payload, flags) for payload in payloads
        ]
        return frame


def wire_field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return wire_varint(number << 3 | 2) + wire_varint(len(data)) + data


def wire_varint(value: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields_in(data: bytes) -> list[tuple[int, bytes]]:
    """The length-delimited fields that make up a message: number and content."""
    fields, at = [], 0
    while at < len(data):
        key, at = _varint_at(data, at)
        length, at = _varint_at(data, at)
        fields.append((key >> 3, data[at : at + length]))
        at += length
    return fields


def _varint_at(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
