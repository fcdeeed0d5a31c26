"""Where the spans of a trace belong among its calls, by span ids and parents.

A call and the spans of its proxies and applications are one happening: proxies log the id of the
span that they sent on, and a server's span is a child of its caller's. So a span stands in the call
whose record has its id, or its parent's; a client's span that leads to no record is a call of its
own. What a call's spans are children of is what caused it.

All of this rests on ids that anyone can send. It places spans, and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]

SPAN_COLUMNS: Final = (
    "log_index", "time", "received_time", "reporter_spiffe_id", "request_id", "request_id_text",
    "span_id", "parent_span_id", "span_kind",
)  # fmt: skip
"""What rows need to have."""

CALLING: Final = frozenset({"client", "producer"})
CALLED: Final = frozenset({"server", "consumer"})


@dataclass(frozen=True, slots=True)
class SpanPlaces:
    """The spans of each call, and what caused it.

    Attributes:
        spans: by call, by time; behind the given calls come those that only spans tell of.
        causes: by call, the positions of the calls that its spans are children of.
    """

    spans: list[list[Row]] = field(default_factory=list)
    causes: list[list[int]] = field(default_factory=list)


def place_spans(calls: Sequence[Sequence[Row]], spans: Sequence[Row]) -> SpanPlaces:
    """Put each span into one call.

    Args:
        calls: the records of each call, calls by time.
        spans: rows of kind span, in any order.
    """
    places = _Places(calls, sorted(spans, key=lambda row: (start_of(row), row["log_index"])))
    places.take_those_of_records()
    places.take_callers()
    places.take_others()
    return places.result()


class _Places:
    """Spans and their calls, while they are being found."""

    def __init__(self, calls: Sequence[Sequence[Row]], spans: Sequence[Row]) -> None:
        self._spans = spans
        self._by_id: dict[bytes, Row] = {}
        for span in spans:
            if span["span_id"] is not None:
                self._by_id.setdefault(span["span_id"], span)
        self._calls_count = len(calls)
        self._call_of_span: dict[int, int] = {}
        self._call_of_id: dict[bytes, int] = {}
        self._call_of_moment: dict[object, int] = {}
        for call, records in enumerate(calls):
            for record in records:
                if record["span_id"] is not None:
                    self._call_of_id.setdefault(record["span_id"], call)
                if (moment := _moment(record)) is not None:
                    self._call_of_moment.setdefault(moment, call)

    def take_those_of_records(self) -> None:
        """The spans of the proxies themselves, and those that a header named."""
        for span in self._spans:
            call = self._call_of_moment.get(_moment(span))
            if call is None:
                call = self._call_of_id.get(span["span_id"])
            if call is not None:
                self._put(span, call)

    def take_callers(self) -> None:
        """The client's spans that such a span is a child of: the caller's view of the call."""
        for span in self._spans:
            call, above = self._place(span), self._parent(span)
            while call is not None and above is not None and above["span_kind"] in CALLING:
                if self._place(above) is not None:
                    break
                self._put(above, call)
                above = self._parent(above)

    def take_others(self) -> None:
        """All that is left, parents before their children."""
        for span in self._spans:
            waiting: dict[int, Row] = {}
            above: Row | None = span
            while above is not None and self._place(above) is None:
                if above["log_index"] in waiting:  # parents that go in a circle
                    break
                waiting[above["log_index"]] = above
                above = self._parent(above)
            for one in reversed(waiting.values()):
                self._put(one, self._find(one))

    def result(self) -> SpanPlaces:
        """What was found."""
        empty: tuple[list[list[Any]], ...] = ([], [])
        for lists in empty:
            lists.extend([] for _ in range(self._calls_count))
        places = SpanPlaces(*empty)
        for span in self._spans:
            call = self._call_of_span[span["log_index"]]
            places.spans[call].append(span)
            cause = self._call_of_id.get(span["parent_span_id"])
            if cause is not None and cause != call and cause not in places.causes[call]:
                places.causes[call].append(cause)
        return places

    def _find(self, span: Row) -> int:
        """The call of a span that no record speaks of; a new one where it begins one."""
        same = self._call_of_id.get(span["span_id"])
        if same is not None:
            return same
        above = self._call_of_id.get(span["parent_span_id"])
        if above is not None and span["span_kind"] not in CALLING:
            return above
        self._calls_count += 1
        return self._calls_count - 1

    def _put(self, span: Row, call: int) -> None:
        self._call_of_span[span["log_index"]] = call
        if span["span_id"] is not None:
            self._call_of_id.setdefault(span["span_id"], call)

    def _place(self, span: Row) -> int | None:
        return self._call_of_span.get(span["log_index"])

    def _parent(self, span: Row) -> Row | None:
        return self._by_id.get(span["parent_span_id"])


def start_of(row: Row) -> int:
    """When it began, as far as that is known."""
    moment = row["time"] if row["time"] is not None else row["received_time"]
    return int(moment)


def _moment(row: Row) -> object:
    """One request at one proxy: its id, its start to the nanosecond, and who says so."""
    request_id = row["request_id"] if row["request_id"] is not None else row["request_id_text"]
    if request_id is None or row["time"] is None:
        return None
    return request_id, row["time"], row["reporter_spiffe_id"]
