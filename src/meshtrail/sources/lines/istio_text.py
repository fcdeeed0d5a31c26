"""Lines of Istio's access log in its default text format.

The format has seven fields in quotes, and Envoy escapes none in what a caller sends. So a line with
fourteen quotes can be read in one way alone, and one with more was made by whoever sent the
request: of such a line only what stands around the headers is told, and it says so.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Trust
from meshtrail.sources.columns import spread
from meshtrail.sources.event_columns import EventColumns
from meshtrail.sources.lines.container_prefix import strip_prefixes
from meshtrail.sources.lines.istio_access import (
    KEYS,
    NO_ACCESS_LOG,
    TRANSPORT_FAILURE,
    map_istio_access,
)
from meshtrail.sources.lines.said import mend_lines, said_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from meshtrail.sources.streams import Reporters

    Fields = dict[str, str]
    Where = npt.NDArray[np.bool_]

AMBIGUOUS: Final = "quotes inside a field: a caller may have written some of this line"
SEVERAL_WORDS: Final = "blanks inside the server name or the route: they may be mixed up"
REQUEST: Final = ("method", "path", "protocol")
STATUS: Final = (
    *("response_code", "response_flags", "response_code_details"),
    "connection_termination_details",
)
SIZES: Final = ("bytes_received", "bytes_sent", "duration", "upstream_service_time")
QUOTED: Final = {
    3: "upstream_transport_failure_reason",
    5: "x_forwarded_for",
    7: "user_agent",
    9: "request_id",
    11: "authority",
    13: "upstream_host",
}
"""What stands between which quotes."""
TAIL: Final = (
    *("upstream_cluster", "upstream_local_address", "downstream_local_address"),
    *("downstream_remote_address", "requested_server_name", "route_name"),
)

_S: Final = pa.string()
_PIECES_COUNT: Final = 15
_BLANKS: Final = (6, 8, 10, 12)
_START: Final = r"^\[(?P<time>[^\[\]]+)\] $"
_BEHIND_REQUEST: Final = re.compile(
    r'([0-9]++|-) (\S++) (\S++) (\S++) "([^"]*+)" ([0-9]++|-) ([0-9]++|-) ([0-9]++|-) (\S++) "'
)


def map_istio_text(records: pa.Array, _reporters: Reporters) -> EventColumns:
    """Event columns of lines.

    Args:
        records: binary[n], lines (payload format istio-text).
        _reporters: the sender of each, who is no party to what a line tells.
    """
    bare = strip_prefixes(records)
    lines = mend_lines(bare.lines).cast(_S)
    fields, is_read = _split(lines)
    out = EventColumns(len(records))
    doubtful = _read_doubtful(lines, ~is_read)
    if doubtful:
        rows = np.array(list(doubtful), dtype=np.int64)
        for key, column in fields.items():
            told = pa.array([one.get(key) for one in doubtful.values()], _S)
            fields[key] = pc.coalesce(
                column, spread(told, rows, np.arange(len(rows)), len(records))
            )
    said = {key: said_only(column) for key, column in fields.items()}
    said[TRANSPORT_FAILURE] = pa.nulls(len(records), _S)
    map_istio_access(said, out, how=Trust.ASSERTED)
    out.problems[AMBIGUOUS] = _at(list(doubtful), len(records))
    blanks = pc.match_substring(said["route_name"], " ")
    out.problems[SEVERAL_WORDS] = pc.fill_null(blanks, fill_value=False)
    silent = np.flatnonzero(np.asarray(pc.is_null(said["start_time"]))).tolist()
    out.blank_refused(dict.fromkeys(silent, NO_ACCESS_LOG) | bare.bad)
    return out


def read_doubtful(line: str) -> Fields | None:
    """What stands before and behind the headers of a line with too many quotes.

    What stands before them is told only where there is one way to read it: otherwise there is a
    quote in the path, or a header that looks as if there were.

    Returns:
        The fields by key; None where it is no line of the format at all.
    """
    head, mark, _ = line.partition('] "')
    host, quote, tail = line.rpartition('" ')
    behind = tail.split(" ", len(TAIL) - 1)
    if not (mark and head.startswith("[") and quote and len(behind) == len(TAIL)):
        return None
    start = len(head) + len(mark)
    ways = list(islice(_ways_to_read(line, start, len(host)), 2))
    if not ways:
        return None
    told = ways[0] if len(ways) == 1 else {REQUEST[0]: ways[0][REQUEST[0]]}
    told |= zip(TAIL, behind, strict=True)
    return told | {"start_time": head[1:], "upstream_host": host.rpartition('"')[2]}


def _ways_to_read(line: str, start: int, end: int) -> Iterator[Fields]:
    """What stands between the time and the headers, for each place where the path could end."""
    place = start
    while (place := line.find('" ', place)) != -1:
        match = _BEHIND_REQUEST.match(line, place + 2)
        if match and match.end() <= end:
            method, first, rest = line[start:place].partition(" ")
            path, last, protocol = rest.rpartition(" ")
            if first and last:
                told = dict(zip((*STATUS, QUOTED[3], *SIZES), match.groups(), strict=True))
                yield told | dict(zip(REQUEST, (method, path, protocol), strict=True))
        place += 1


def _read_doubtful(lines: pa.Array, where: Where) -> dict[int, Fields]:
    """The fields of lines that have more quotes than they should, by row."""
    many = pc.greater(pc.count_substring(lines, '"'), _PIECES_COUNT - 1)
    found = {}
    for row in np.flatnonzero(np.asarray(many) & where).tolist():
        fields = read_doubtful(lines[row].as_py())
        if fields is not None:
            found[row] = fields
    return found


def _split(
    lines: pa.Array,
) -> tuple[dict[str, pa.Array], Where]:
    """The fields of lines by key, null where a line is not as it should be; and where it is."""
    pieces, good = _pieces(pc.split_pattern(lines, '"'), _PIECES_COUNT)
    start = pc.struct_field(pc.extract_regex(pieces[0], _START), "time")
    good &= np.asarray(pc.is_valid(start))
    for place in _BLANKS:
        good &= np.asarray(pc.fill_null(pc.equal(pieces[place], " "), fill_value=False))
    fields = {key: pieces[place] for place, key in QUOTED.items()} | {"start_time": start}
    head, is_split = _pieces(pc.split_pattern(pieces[1], " ", max_splits=1), 2)
    good &= is_split
    rest, is_split = _pieces(pc.split_pattern(head[1], " ", max_splits=1, reverse=True), 2)
    good &= is_split
    fields |= zip(REQUEST, (head[0], *rest), strict=True)
    for place, keys in ((2, STATUS), (4, SIZES)):
        words, is_split = _pieces(pc.split_pattern(pieces[place], " "), len(keys) + 2)
        good &= is_split & _are_empty(words[0]) & _are_empty(words[-1])
        fields |= zip(keys, words[1:-1], strict=True)
    words, is_split = _pieces(pc.split_pattern(pieces[14], " ", max_splits=6), len(TAIL) + 1)
    good &= is_split & _are_empty(words[0])
    fields |= zip(TAIL, words[1:], strict=True)
    if not good.all():
        keep = pa.array(good)
        fields = {key: pc.if_else(keep, fields[key], pa.scalar(None, _S)) for key in KEYS}
    return fields, good


def _pieces(parts: pa.Array, count: int) -> tuple[list[pa.Array], Where]:
    """Lists of so many texts as so many columns, null where there are more or fewer."""
    whole = np.asarray(pc.fill_null(pc.equal(pc.list_value_length(parts), count), fill_value=False))
    starts = np.asarray(parts.offsets)[:-1].astype(np.int64)
    flat = parts.values
    return [flat.take(pa.array(starts + place, mask=~whole)) for place in range(count)], whole


def _are_empty(texts: pa.Array) -> Where:
    return np.asarray(pc.fill_null(pc.equal(texts, ""), fill_value=False))


def _at(rows: list[int], rows_count: int) -> pa.Array:
    here = np.zeros(rows_count, dtype=np.bool_)
    here[rows] = True
    return pa.array(here)
