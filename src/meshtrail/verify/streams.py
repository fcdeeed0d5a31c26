"""Streams count their entries 0, 1, 2, … from opening to closing, without hole or repeat.

``find_runs`` looks at one piece of the log in a worker, ``StreamLedger`` joins the pieces in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meshtrail.errors import StreamError
from meshtrail.model.entry import EntryType
from meshtrail.verify.findings import Finding, PieceFindings, tampered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StreamRuns:
    """The streams in one piece: for each its first and last entry there.

    Attributes:
        stream, first_seq, last_seq, first_index: int64[runs].
        is_opened: whether the first entry opens the stream; bool[runs].
        is_closed: whether the last entry closes it; bool[runs].
    """

    stream: Int64s
    first_seq: Int64s
    last_seq: Int64s
    first_index: Int64s
    is_opened: npt.NDArray[np.bool_]
    is_closed: npt.NDArray[np.bool_]


def find_runs(
    streams: Int64s, seqs: Int64s, kinds: Int64s, *, start: int, found: PieceFindings
) -> StreamRuns:
    """Sort a piece by stream, and check each stream within it.

    Args:
        streams: of each entry, from its header; int64[n].
        seqs: the same.
        kinds: the same, its entry type.
        start: leaf index of the first.
        found: gets what is wrong between two entries of the piece.
    """
    order = np.argsort(streams, kind="stable")
    stream, seq, kind = streams[order], seqs[order], kinds[order]
    is_same = stream[1:] == stream[:-1]
    is_opening, is_closing = kind == EntryType.STREAM_OPENED, kind == EntryType.STREAM_CLOSED

    def describe(at: int) -> Finding:
        index, want = start + int(order[at + 1]), int(seq[at]) + 1
        return _out_of_order(index, int(stream[at]), want, int(seq[at + 1]))

    def describe_late(at: int) -> Finding:
        return _after_close(start + int(order[at + 1]), int(stream[at]))

    def describe_opening(at: int) -> Finding:
        return _bad_opening(start + int(order[at]), int(stream[at]), int(seq[at]))

    found.add_rows(np.flatnonzero(is_same & (seq[1:] != seq[:-1] + 1)).tolist(), describe)
    found.add_rows(np.flatnonzero(is_same & is_closing[:-1]).tolist(), describe_late)
    found.add_rows(np.flatnonzero(is_opening != (seq == 0)).tolist(), describe_opening)
    first = np.flatnonzero(np.concatenate([[True], ~is_same]))
    last = np.append(first[1:], len(stream)) - 1
    return StreamRuns(
        stream=stream[first],
        first_seq=seq[first],
        last_seq=seq[last],
        first_index=start + order[first],
        is_opened=is_opening[first],
        is_closed=is_closing[last],
    )


class StreamLedger:
    """Every stream that is open, as the pieces of the log come by in order.

    Memory: an entry for each open stream, 8 bytes for each stream that ever was.
    """

    def __init__(self, *, is_whole: bool) -> None:
        """Start at the beginning of the log, or, when not whole, anywhere in it."""
        self._next_seq: dict[int, int] = {}
        self._opened: list[Int64s] = []
        self._is_whole = is_whole
        self.opened_count = 0
        self.closed_count = 0

    @property
    def open_count(self) -> int:
        """Streams that are open now."""
        return len(self._next_seq)

    def skip(self) -> None:
        """Pass over entries that could not be read: streams may open, count and close there."""
        self._is_whole = False
        self._next_seq.clear()

    def take(self, runs: StreamRuns) -> Iterator[Finding]:
        """Join the next piece."""
        rows = zip(
            runs.stream.tolist(),
            runs.first_seq.tolist(),
            runs.last_seq.tolist(),
            runs.first_index.tolist(),
            runs.is_opened.tolist(),
            runs.is_closed.tolist(),
            strict=True,
        )
        for stream, first_seq, last_seq, index, is_opened, is_closed in rows:
            want = self._next_seq.get(stream)
            if want is not None and first_seq != want:
                yield _out_of_order(index, stream, want, first_seq)
            elif want is None and not is_opened and self._is_whole:
                # An opening with another seq than 0 is reported within the piece.
                yield self._unopened(index, stream, first_seq)
            self.opened_count += is_opened
            if is_closed:
                self.closed_count += 1
                self._next_seq.pop(stream, None)
            else:
                self._next_seq[stream] = last_seq + 1
        self._opened.append(runs.stream[runs.is_opened])

    def finish(self) -> Iterator[Finding]:
        """Report streams that were opened twice: an id is used for one stream only."""
        if not self._opened:
            return
        streams, counts = np.unique(np.concatenate(self._opened), return_counts=True)
        for stream in streams[counts > 1].tolist():
            yield tampered(
                StreamError(f"stream {stream} was opened more than once", stream=stream),
                f"stream {stream}",
            )

    def _unopened(self, index: int, stream: int, first_seq: int) -> Finding:
        # It was opened, and is not open any more.
        if any(bool(np.any(opened == stream)) for opened in self._opened):
            return _after_close(index, stream)
        return tampered(
            StreamError(
                f"entry {index} is seq {first_seq} of stream {stream}, which was never opened",
                leaf_index=index,
                stream=stream,
                want=0,
                got=first_seq,
            ),
            f"entry {index}",
        )


def _out_of_order(index: int, stream: int, want: int, got: int) -> Finding:
    what = "a hole" if got > want else "a repeat"
    return tampered(
        StreamError(
            f"entry {index} is seq {got} of stream {stream}, want {want}: {what}",
            leaf_index=index,
            stream=stream,
            want=want,
            got=got,
        ),
        f"entry {index}",
    )


def _after_close(index: int, stream: int) -> Finding:
    return tampered(
        StreamError(
            f"entry {index} is of stream {stream}, which was closed before",
            leaf_index=index,
            stream=stream,
        ),
        f"entry {index}",
    )


def _bad_opening(index: int, stream: int, seq: int) -> Finding:
    message = (
        f"entry {index} is seq 0 of stream {stream} and does not open it"
        if seq == 0
        else f"entry {index} opens stream {stream} at seq {seq}"
    )
    return tampered(
        StreamError(message, leaf_index=index, stream=stream, want=0, got=seq), f"entry {index}"
    )
