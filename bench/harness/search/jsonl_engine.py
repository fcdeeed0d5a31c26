"""The same rows as JSON lines: zstd files of a million rows each, searched with ripgrep.

As someone would who keeps rotated access logs. Names of files say when their first row was
received, so a search for a time reads only the files that can have it; one for the newest reads the
newest two files first, and all others at once when those have too few. Keys stand in the order of
the event columns, nulls are left out, ids are hex.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa

from bench.harness.search.page_cache import drop_cached, read_through
from bench.harness.search.questions import (
    LIMIT,
    Answer,
    ByCaller,
    ById,
    ByPath,
    ByPrincipal,
    PairCounts,
    Proof,
)
from meshtrail.model.event import EVENT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from bench.harness.search.questions import Pair, Question, Window

ROWS_PER_FILE: Final = 1_000_000
PROGRAMS: Final = ("rg", "zstd", "awk")
_RIPGREP: Final = ("rg", "--search-zip", "--no-filename", "--no-line-number")
_NONE_FOUND: Final = 1
_PARTS: Final = '"received_time":[0-9]+|"(?:src|dst)_spiffe_id":"[^"]*'
# Every part of a row stands on a line of its own, in the order of the columns. Times are compared
# as texts: awk's numbers have 53 bits. All of them have 19 digits.
_COUNT: Final = r"""
function count() { if (at >= (low "") && at < (high "")) counts[caller "\t" callee]++ }
BEGIN { FS = "\":\"?" }
$1 == "\"received_time" { count(); at = $2 ""; caller = ""; callee = "" }
$1 == "\"src_spiffe_id" { caller = $2 }
$1 == "\"dst_spiffe_id" { callee = $2 }
END { count(); for (pair in counts) print counts[pair] "\t" pair }
"""


class JsonlEngine:
    """Answers by starting ripgrep and reading the lines that it prints."""

    name = "jsonl"
    samples_max: int | None = 2

    def __init__(self, segments: Sequence[Path], folder: Path, *, entries_count: int) -> None:
        """Write the files.

        Args:
            segments: the live ones, ascending.
            folder: where the files go.
            entries_count: entries in all segments.

        Raises:
            ImportError: a program is not installed.
        """
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            raise ImportError(f"{', '.join(missing)} not found")
        started = time.monotonic()
        self._files = tuple(write_files(segments, folder, entries_count=entries_count))
        disk_bytes = sum(path.stat().st_size for path in self._files)
        self.facts: Mapping[str, Any] = {
            "version": _output("rg", "--version").split("\n", 1)[0],
            "load_s": round(time.monotonic() - started, 1),
            "files_count": len(self._files),
            "disk_bytes": disk_bytes,
            "bytes_per_entry": round(disk_bytes / entries_count, 1),
        }

    def ask(self, question: Question) -> Answer | None:
        """The answer."""
        match question:
            case ById(column=column, value=value):
                return _indexes(_search(_literals(column, value.hex()), self._files))
            case ByCaller(identity=identity, window=window):
                lines = _search(_literals("src_spiffe_id", identity), self._within(window))
                return _indexes(
                    row for row in lines if window.from_ns <= row["received_time"] < window.to_ns
                )
            case ByPrincipal(identity):
                ends = [
                    *_literals("src_spiffe_id", identity),
                    *_literals("dst_spiffe_id", identity),
                ]
                return self._newest(ends)
            case ByPath(pattern):
                return self._newest([f'--regexp="url_path":"{pattern}"'])
            case PairCounts(window):
                return self._count_pairs(window)
            case Proof():
                return None

    def warm(self) -> None:
        """Read all files."""
        read_through(self._files)

    def cool(self) -> None:
        """Drop all files from the page cache."""
        drop_cached(self._files)

    def close(self) -> None:
        """Nothing is held."""

    def _newest(self, patterns: Sequence[str]) -> tuple[int, ...]:
        # Two, for the newest file may have been begun just now.
        older, newest = self._files[:-2], self._files[-2:]
        rows = _search(patterns, newest)
        if len(rows) < LIMIT and older:
            rows += _search(patterns, older)
        return _indexes(rows)

    def _within(self, window: Window) -> list[Path]:
        """The files that can have rows of a window."""
        firsts = [int(path.name.split(".")[1]) for path in self._files]
        ends = [*firsts[1:], window.to_ns]
        return [
            path
            for path, first, end in zip(self._files, firsts, ends, strict=True)
            # The rows of one moment may stand in two files.
            if first < window.to_ns and end >= window.from_ns
        ]

    def _count_pairs(self, window: Window) -> dict[Pair, int]:
        search = [*_RIPGREP, "--only-matching", f"--regexp={_PARTS}", "--"]
        count = ["awk", "-v", f"low={window.from_ns}", "-v", f"high={window.to_ns}", _COUNT]
        with subprocess.Popen(
            [*search, *map(str, self._within(window))], stdout=subprocess.PIPE
        ) as ripgrep:
            done = subprocess.run(
                count, stdin=ripgrep.stdout, capture_output=True, text=True, check=True
            )
        rows = (line.split("\t") for line in done.stdout.split("\n") if line)
        return {(caller or None, callee or None): int(number) for number, caller, callee in rows}


def write_files(segments: Sequence[Path], folder: Path, *, entries_count: int) -> list[Path]:
    """Write the event columns of segments as compressed JSON lines.

    Returns:
        The files, oldest first, named by their first leaf index and when it was received.
    """
    columns = ", ".join(
        f'lower(hex("{field.name}")) AS "{field.name}"'
        if pa.types.is_fixed_size_binary(field.type)
        else f'"{field.name}"'
        for field in EVENT_SCHEMA
    )
    paths = [str(path) for path in segments]
    written = []
    with duckdb.connect() as connection:
        for start in range(0, entries_count, ROWS_PER_FILE):
            rows = "read_parquet(?) WHERE log_index >= ? AND log_index < ?"
            values = [paths, start, start + ROWS_PER_FILE]
            first = connection.execute(f"SELECT min(received_time) FROM {rows}", values).fetchone()  # noqa: S608 - names of our own
            assert first is not None  # noqa: S101 - an aggregate has a row
            path = folder / f"{start:012d}.{first[0]}.json.zst"
            # An object that is merged into an empty one loses its nulls. The lines are written as a
            # CSV of one column without quotes: JSON has neither line ends nor control characters.
            connection.execute(
                f"COPY (SELECT json_merge_patch('{{}}', to_json(event)) "  # noqa: S608 - names of our own
                f"FROM (SELECT {columns} FROM {rows}) AS event) "
                f"TO '{path}' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01', "
                "COMPRESSION zstd)",
                values,
            )
            written.append(path)
    return written


def _literals(key: str, value: str) -> list[str]:
    return ["--fixed-strings", f'--regexp="{key}":{json.dumps(value, ensure_ascii=False)}']


def _search(patterns: Iterable[str], files: Iterable[Path]) -> list[dict[str, Any]]:
    """The rows of the lines that match."""
    lines = _output(*_RIPGREP, *patterns, "--", *map(str, files)).split("\n")
    return [json.loads(line) for line in lines if line]


def _output(*command: str) -> str:
    """What a program prints.

    Raises:
        CalledProcessError: it found fault with more than the absence of matches.
    """
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode not in {0, _NONE_FOUND}:
        raise subprocess.CalledProcessError(done.returncode, command)
    return done.stdout.decode()


def _indexes(rows: Iterable[dict[str, Any]]) -> tuple[int, ...]:
    return tuple(sorted((row["log_index"] for row in rows), reverse=True)[:LIMIT])
