"""The row-wise reference of ``container_prefix``: one record at a time, slow and plain."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from meshtrail.errors import InputError
from meshtrail.sources.json_reference import parse_members
from meshtrail.sources.lines.container_prefix import DOCKER_START, PART_OF_A_LINE, STREAMS
from meshtrail.sources.timestamps import parse_time

_PREFIX: Final = re.compile(
    rb"([0-9T:.Z+-]{20,40}) (?:(?:stdout|stderr) ([FP])(?::[^ ]{0,64})? )?", re.DOTALL
)


class BareLine(NamedTuple):
    """A line without what a container runtime wrote around it.

    Attributes:
        line: without a line end.
        runtime_ns: when the runtime took it; null where it does not say.
        problem: why it cannot be read.
    """

    line: bytes
    runtime_ns: int | None = None
    problem: str | None = None


def strip_prefix(record: bytes) -> BareLine:
    """Take off what a container runtime wrote."""
    bare = _unpack_docker(record) or _strip_time(record)
    line = bare.line.removesuffix(b"\n").removesuffix(b"\r")
    return bare._replace(line=line)


def _strip_time(record: bytes) -> BareLine:
    match = _PREFIX.match(record)
    if match is None:
        return BareLine(record)
    time_ns = parse_time(match[1].decode())
    if time_ns is None:
        return BareLine(record)
    problem = PART_OF_A_LINE if match[2] == b"P" else None
    return BareLine(record[match.end() :], time_ns, problem)


def _unpack_docker(record: bytes) -> BareLine | None:
    if not record.startswith(DOCKER_START):
        return None
    try:
        told = parse_members(record)
    except InputError:
        return None
    line, stream, time_ns = told.text("log"), told.text("stream"), parse_time(told.text("time"))
    if line is None or stream not in STREAMS or time_ns is None:
        return None
    problem = None if line.endswith("\n") else PART_OF_A_LINE
    return BareLine(line.encode(), time_ns, problem)
