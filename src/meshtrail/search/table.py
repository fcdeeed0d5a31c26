"""Rows as an aligned table for people: readable columns of events, or those asked for.

``-`` stands for null, so that it is never mistaken for ``unknown``, which is a decision. Characters
that a terminal would act on are shown as escapes: a path is the caller's choice.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.event import Trust
from meshtrail.search.json_lines import plain_value
from meshtrail.search.moments import format_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

NULL: Final = "-"
_GAP: Final = "  "
_CUT: Final = "…"
_CELL_MIN: Final = 8
_MICROSECONDS: Final = 26
_WEAKNESS: Final = {str(trust): at for at, trust in enumerate(Trust)}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Shown:
    """A column of the readable table.

    Attributes:
        needs: the event columns that it is made of.
        is_elastic: whether it is cut first when the terminal is too narrow.
    """

    title: str
    needs: tuple[str, ...]
    render: Callable[[Row], str]
    is_elastic: bool = False


def event_columns(*, with_pods: bool = False) -> list[str]:
    """The columns that the readable table is made of.

    Args:
        with_pods: whether the pods of both ends are shown, of which the view of workloads tells.
    """
    shown_columns = _READABLE + _PODS if with_pods else _READABLE
    return list(dict.fromkeys(name for shown in shown_columns for name in shown.needs))


class AlignedLines:
    """Cells to lines: titles once, columns as wide as everything so far."""

    def __init__(
        self, titles: Sequence[str], elastic: Sequence[bool], *, width: int | None
    ) -> None:
        """Take the columns.

        Args:
            titles: of the columns.
            elastic: which may be cut when the terminal is too narrow.
            width: of the terminal; None cuts nothing.
        """
        self._elastic = list(elastic)
        self._width = width
        self._widths = [0] * len(titles)
        self._waiting: list[Sequence[str]] = [titles]

    def add(self, cells: Iterable[Sequence[str]]) -> None:
        """Take rows of as many cells as there are titles."""
        self._waiting += cells

    def take(self) -> list[str]:
        """The lines of what was added since the last call."""
        for cells in self._waiting:
            self._widths = list(map(max, self._widths, map(_width, cells)))
        widths = list(self._widths)
        if self._width is not None:
            _shrink(widths, self._elastic, self._width)
        lines = [_GAP.join(map(_fit, cells, widths)).rstrip() for cells in self._waiting]
        self._waiting.clear()
        return lines


class TableLines:
    """Batches of rows to the lines of one table."""

    def __init__(
        self,
        *,
        is_events: bool,
        width: int | None,
        titles: Sequence[str] = (),
        with_pods: bool = False,
    ) -> None:
        """Take the form.

        Args:
            is_events: whether rows are events with at least ``event_columns()``, shown as the
                readable table; else exactly the columns of the batches are shown.
            width: of the terminal; None cuts nothing.
            titles: of the columns of the batches; their own names when empty.
            with_pods: whether the readable table shows the pods of both ends, too.
        """
        readable = _READABLE + _PODS if with_pods else _READABLE
        self._shown: tuple[_Shown, ...] = readable if is_events else ()
        self._titles = titles
        self._width = width
        self._lines: AlignedLines | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a batch; the first tells the columns."""
        if self._lines is None:
            names = batch.schema.names
            self._shown = self._shown or tuple(
                _Shown(title, (name,), _plain(name), is_elastic=True)
                for name, title in zip(names, self._titles or names, strict=True)
            )
            titles = [column.title for column in self._shown]
            elastic = [column.is_elastic for column in self._shown]
            self._lines = AlignedLines(titles, elastic, width=self._width)
        self._lines.add([column.render(row) for column in self._shown] for row in batch.to_pylist())

    def take(self) -> list[str]:
        """The lines of what was added since the last call."""
        return self._lines.take() if self._lines is not None else []


def escape(text: str) -> str:
    """Text with everything that a terminal would act on written as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _cell(name: str, value: object) -> str:
    if value is None:
        return NULL
    plain = plain_value(name, value)
    return escape(plain if isinstance(plain, str) else str(plain)) or '""'


def _shrink(widths: list[int], elastic: list[bool], width: int) -> None:
    """Take characters from the widest elastic column until the row fits, or nothing can give."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0:
        at = max(range(len(widths)), key=lambda one: widths[one] if elastic[one] else 0)
        if not elastic[at] or widths[at] <= _CELL_MIN:
            return
        widths[at] -= 1
        excess -= 1


def _fit(text: str, width: int) -> str:
    if _width(text) <= width:
        return text + " " * (width - _width(text))
    kept = text
    while _width(kept) > width - 1:
        kept = kept[:-1]
    return kept + _CUT + " " * (width - 1 - _width(kept))


def _width(text: str) -> int:
    """Columns that text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _time(row: Row) -> str:
    """When it happened; with ~ when only its arrival is known."""
    moment = row["time"] if row["time"] is not None else row["received_time"]
    text = format_moment(moment)[:_MICROSECONDS].replace("T", " ")
    return text if row["time"] is not None else f"~{text}"


def _end(row: Row, end: str) -> str:
    spiffe_id = row[f"{end}_spiffe_id"]
    if spiffe_id:
        return str(spiffe_id).removeprefix("spiffe://")
    return row[f"{end}_ip"] or NULL


def _ends(row: Row) -> str:
    if row["about"] is not None:
        return escape(row["about"])
    return escape(f"{_end(row, 'src')} → {_end(row, 'dst')}")


def _request(row: Row) -> str:
    """What was asked for; of a gap or a finding, its cause and how many records are missing."""
    if row["cause"] is not None:
        return escape(f"{row['cause']} {_bounds(row)}".rstrip())
    method, path = row["http_request_method"], row["url_path"]
    target = path if path is not None else row["tls_server_name"]
    return escape(" ".join(filter(None, (method, target)))) or NULL


def _bounds(row: Row) -> str:
    low, high = row["missing_min"], row["missing_max"]
    if low is None:
        return ""
    if high is None:
        return f"{low} or more missing"
    return f"{low} missing" if low == high else f"{low} to {high} missing"


def weakest_trust(row: Row) -> str:
    """The weakest trust among the identities and the decision of an event; ``-`` without any."""
    known = [row[name] for name in _TRUSTS if row[name] is not None]
    return max(known, key=lambda trust: _WEAKNESS.get(trust, len(_WEAKNESS))) if known else NULL


def _pod(end: str) -> Callable[[Row], str]:
    """The pod of an end; how many it may have been; or that the inventory says otherwise."""

    def render(row: Row) -> str:
        pod, count = row[f"{end}_pod"], row[f"{end}_inventory_candidates"]
        mark = "!" if row[f"{end}_inventory_conflict"] is not None else ""
        if pod is None and not mark and count:
            return f"1 of {count}?"
        return mark + (NULL if pod is None else escape(pod))

    return render


def _plain(name: str) -> Callable[[Row], str]:
    return lambda row: _cell(name, row[name])


_TRUSTS: Final = ("src_spiffe_id_trust", "dst_spiffe_id_trust", "decision_trust")
_READABLE: Final = (
    _Shown("INDEX", ("log_index",), _plain("log_index")),
    _Shown("TIME (UTC)", ("time", "received_time"), _time),
    _Shown("KIND", ("kind",), _plain("kind")),
    _Shown(
        "SRC → DST",
        ("src_spiffe_id", "src_ip", "dst_spiffe_id", "dst_ip", "about"),
        _ends,
        is_elastic=True,
    ),
    _Shown(
        "REQUEST",
        (
            "http_request_method",
            "url_path",
            "tls_server_name",
            "cause",
            "missing_min",
            "missing_max",
        ),
        _request,
        is_elastic=True,
    ),
    _Shown("STATUS", ("http_response_status_code",), _plain("http_response_status_code")),
    _Shown("DECISION", ("decision",), _plain("decision")),
    _Shown("POLICY", ("policy_name",), _plain("policy_name"), is_elastic=True),
    _Shown("TRUST", _TRUSTS, weakest_trust),
)
_PODS: Final = tuple(
    _Shown(
        f"{end.upper()} POD",
        (f"{end}_pod", f"{end}_inventory_candidates", f"{end}_inventory_conflict"),
        _pod(end),
        is_elastic=True,
    )
    for end in ("src", "dst")
)
