"""The streams of files: one for each that is open, from opening to closing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from meshtrail.collect.payloads import CloseReason, Sender, file_gap, stream_opened
from meshtrail.collect.stream import Stream
from meshtrail.collect.tail.parts import Beginning, Ended, Gap, Lines, Opened
from meshtrail.journal import Framing, position_frame
from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.model.record_formats import LINE_FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.collect.payloads import CollectorFacts
    from meshtrail.collect.tail.parts import Part
    from meshtrail.collect.tail.steps import Step
    from meshtrail.collect.tail.tailed_file import TailedFile
    from meshtrail.journal import Frame
    from meshtrail.units import UnixNanos

TRANSPORT: Final = "file"


class FileStreams:
    """Makes the frames of steps, in order; each must be put into the journal.

    Args:
        collector: for stream-opened entries.
        own_frame: makes a frame of a gap that belongs to no open stream.
    """

    def __init__(
        self, collector: CollectorFacts, *, own_frame: Callable[[EntryType, bytes], Frame]
    ) -> None:
        self._collector = collector
        self._own_frame = own_frame
        self._streams: dict[TailedFile, Stream] = {}

    def frames(self, step: Step, *, looked_ns: int, received_ns: UnixNanos) -> list[Frame]:
        """What a step becomes; it is journaled together.

        Args:
            step: of the watch.
            looked_ns: when the files were last looked at before; a gap begins there.
            received_ns: now.
        """
        frames = []
        for part in step.parts:
            if step.file is None:
                frames += self._unowned(part, looked_ns, received_ns)
            else:
                frames.append(self._frame(step.file, part, looked_ns, received_ns))
        return [*frames, *(position_frame(told, received_ns=received_ns) for told in step.told)]

    def close_all(self, *, received_ns: UnixNanos) -> list[Frame]:
        """Close every stream: the collector ends, the files go on."""
        streams, self._streams = self._streams, {}
        return [
            stream.closed_frame(CloseReason.SHUTDOWN, detail=None, received_ns=received_ns)
            for stream in streams.values()
        ]

    def _unowned(self, part: Part, looked_ns: int, received_ns: UnixNanos) -> list[Frame]:
        if not isinstance(part, Gap):
            raise TypeError(f"{part!r} belongs to a file")
        payload = _gap_payload(part, None, looked_ns=looked_ns, now_ns=received_ns)
        return [self._own_frame(EntryType.GAP, payload)]

    def _frame(self, file: TailedFile, part: Part, looked_ns: int, received_ns: UnixNanos) -> Frame:
        if isinstance(part, Opened):
            return self._open(file, part, received_ns)
        stream = self._streams[file]
        if isinstance(part, Lines):
            return stream.records_frame(
                part.data,
                records_count=part.records_count,
                framing=Framing.LINES,
                payload_format=LINE_FORMATS[file.tail.format],
                received_ns=received_ns,
            )
        if isinstance(part, Beginning):
            return stream.records_frame(
                part.data,
                records_count=1,
                framing=Framing.WHOLE,
                payload_format=PayloadFormat.BODY_FRAME,
                received_ns=received_ns,
            )
        if isinstance(part, Ended):
            del self._streams[file]
            return stream.closed_frame(
                CloseReason.ENDED, detail=part.detail, received_ns=received_ns
            )
        payload = _gap_payload(part, file.tail.reporter, looked_ns=looked_ns, now_ns=received_ns)
        return stream.own_frame(EntryType.GAP, payload, received_ns=received_ns)

    def _open(self, file: TailedFile, opened: Opened, received_ns: UnixNanos) -> Frame:
        stream = self._streams[file] = Stream()
        sender = Sender(
            transport=TRANSPORT,
            service=file.tail.format,
            claimed={
                "node_id": file.tail.reporter,
                "node_cluster": file.tail.cluster,
                "log_name": printable(file.path),
            },
            detail=printable(opened.detail),
        )
        payload = stream_opened(sender, self._collector)
        return stream.own_frame(EntryType.STREAM_OPENED, payload, received_ns=received_ns)


def _gap_payload(gap: Gap, reporter: str | None, *, looked_ns: int, now_ns: UnixNanos) -> bytes:
    path = printable(gap.path)
    since_ns = looked_ns if gap.since_ns is None else gap.since_ns
    return file_gap(
        about=path if reporter is None else reporter,
        cause=gap.cause.value,
        path=path,
        from_ns=min(since_ns, now_ns),
        until_ns=now_ns,
        records_max=gap.records_max,
        bytes_min=gap.bytes_min,
        bytes_max=gap.bytes_max,
        detail=printable(gap.detail),
    )


def printable(path: str) -> str:
    """A path as text: what is no UTF-8 is shown as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")
