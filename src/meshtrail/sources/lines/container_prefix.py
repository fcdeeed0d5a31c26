r"""What a container runtime writes around a line of a container: taken off, and its time read.

Known are the files of CRI runtimes (``TIME stdout F line``), what ``kubectl logs --timestamps``
prints (``TIME line``) and Docker's JSON files (``{"log":"line\n","stream":…,"time":…}``). All else
is the line itself. Row-wise reference: ``container_prefix_reference``.

Source: Kubernetes' CRI logging, "Log Format"; Docker's json-file driver.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import mask_null, spread
from meshtrail.sources.json_columns import TEXT, JsonColumns
from meshtrail.sources.timestamps import TIME, read_times

PART_OF_A_LINE: Final = "a part of a line: the container runtime has cut it"
DOCKER_START: Final = b'{"log":"'
STREAMS: Final = ("stdout", "stderr")
PREFIX: Final = rf"(?P<time>{TIME}) (?:(?:stdout|stderr) (?P<tag>[FP])(?::[^ ]{{0,64}})? )?"
"""As a regular expression. Lines that begin with a time of their own have no blank behind it."""

_WHOLE: Final = rf"^(?P<whole>{PREFIX})"
_HEAD_BYTES: Final = 160
"""No prefix is longer."""
_DIGITS: Final = np.frombuffer(b"0123456789", dtype=np.uint8)
_LINE_END: Final = r"\r?\n?$"


class BareLines(NamedTuple):
    """Lines without what a container runtime wrote around them.

    Attributes:
        lines: binary[n], without a line end.
        runtime_time: int64[n], when the runtime took the line, in ns; null where it does not say.
        bad: why a line cannot be read, by row: a runtime has kept a part of it.
    """

    lines: pa.Array
    runtime_time: pa.Array
    bad: dict[int, str]


def strip_prefixes(records: pa.Array) -> BareLines:
    """Take off what a container runtime wrote.

    Args:
        records: binary[n], lines without their line feed.

    Cost: 50 ns for a line without a prefix, 0.7 µs for one with it.
    """
    times = pa.nulls(len(records), pa.int64())
    bare = BareLines(records, times, {})
    first = pc.binary_slice(records, 0, 1)
    if pc.any(pc.is_in(first, pa.array([bytes([digit]) for digit in _DIGITS]))).as_py():
        bare = _strip_times(bare)
    is_docker = pc.fill_null(pc.starts_with(records, DOCKER_START), fill_value=False)
    if pc.any(is_docker).as_py():
        bare = _unpack_docker(bare, is_docker)
    return bare._replace(lines=_without_line_ends(bare.lines))


def _strip_times(bare: BareLines) -> BareLines:
    found = pc.extract_regex(pc.binary_slice(bare.lines, 0, _HEAD_BYTES), _WHOLE)
    if found.null_count == len(found):
        return bare
    times, _ = read_times(pc.struct_field(found, "time").cast(pa.string()))
    is_prefix = pc.is_valid(times)
    widths = pc.if_else(is_prefix, pc.binary_length(pc.struct_field(found, "whole")), 0)
    is_part = pc.and_(is_prefix, pc.equal(pc.struct_field(found, "tag"), b"P"))
    is_part = pc.fill_null(is_part, fill_value=False)
    bad = dict.fromkeys(np.flatnonzero(np.asarray(is_part)).tolist(), PART_OF_A_LINE)
    return BareLines(_behind(bare.lines, np.asarray(widths)), times, bad)


def _unpack_docker(bare: BareLines, is_docker: pa.Array) -> BareLines:
    rows = np.flatnonzero(np.asarray(is_docker))
    told = JsonColumns(bare.lines.take(pa.array(rows)), {"log": TEXT, "stream": TEXT, "time": TEXT})
    times, _ = read_times(told.text("time"))
    line = told.text("log").cast(pa.binary())
    known = pc.and_(pc.is_in(told.text("stream"), pa.array(STREAMS)), pc.is_valid(times))
    known = pc.fill_null(pc.and_(known, pc.is_valid(line)), fill_value=False)
    is_whole = pc.fill_null(pc.ends_with(line, b"\n"), fill_value=False)
    is_part = np.asarray(pc.and_not(known, is_whole))
    bad = dict.fromkeys(rows[is_part].tolist(), PART_OF_A_LINE)
    everywhere = np.arange(len(rows))
    count = len(bare.lines)
    return BareLines(
        pc.coalesce(spread(mask_null(line, known), rows, everywhere, count), bare.lines),
        pc.coalesce(spread(mask_null(times, known), rows, everywhere, count), bare.runtime_time),
        bare.bad | bad,
    )


def _behind(lines: pa.Array, widths: np.ndarray[tuple[int], np.dtype[np.int32]]) -> pa.Array:
    """What stands behind the first bytes of each line, as many as it says: binary[n]."""
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset :][: len(lines) + 1]
    # Prefixes and lines, one behind the other: every second is a line.
    bounds = np.empty(2 * len(lines) + 1, dtype=np.int32)
    bounds[::2] = offsets
    bounds[1::2] = offsets[:-1] + widths
    buffers = [None, pa.py_buffer(bounds.tobytes()), lines.buffers()[2]]
    pieces = pa.Array.from_buffers(pa.binary(), 2 * len(lines), buffers)
    return pieces.take(pa.array(np.arange(1, 2 * len(lines), 2)))


def _without_line_ends(lines: pa.Array) -> pa.Array:
    ends = pc.match_substring_regex(pc.binary_slice(lines, -1), r"[\r\n]")
    if not pc.any(ends).as_py():
        return lines
    return pc.if_else(ends, pc.replace_substring_regex(lines, _LINE_END, ""), lines)
