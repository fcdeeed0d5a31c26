"""What is asked beside meshtrail: engines loaded with the same rows, where they are installed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

from bench.harness.search.chdb_engine import ChdbEngine
from bench.harness.search.jsonl_engine import JsonlEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bench.harness.search.questions import Engine

RIVALS: Final = {
    "chdb": "PyPI's chdb: python3 -m pip --python .venv/bin/python install chdb",
    "jsonl": "ripgrep, zstd and awk, for example by apt-get install ripgrep zstd",
}
"""Each by the name that --beside takes, and what to install for it."""

BYTES_FACTORS: Final = {"chdb": 2.5, "jsonl": 1.5}
"""Bytes on disk that one takes at most while it is loaded, for each byte of the live segments."""

FREE_BYTES_MIN: Final = 5 << 30
"""What is left free for everybody else."""


class DiskSpaceError(Exception):
    """There is not enough room for the rivals' copies of the rows."""


def check_disk_space(folder: Path, names: Sequence[str], *, segments_bytes: int) -> None:
    """Raise DiskSpaceError when the rivals' copies would fill the disk.

    Args:
        folder: where the copies go.
        names: of ``RIVALS``.
        segments_bytes: of all live segments.
    """
    free_bytes = shutil.disk_usage(folder).free
    wanted_bytes = {name: round(segments_bytes * BYTES_FACTORS[name]) for name in names}
    if names and sum(wanted_bytes.values()) + FREE_BYTES_MIN > free_bytes:
        parts = ", ".join(f"{size / 1e9:.1f} GB for {name}" for name, size in wanted_bytes.items())
        raise DiskSpaceError(
            f"{folder} has {free_bytes / 1e9:.1f} GB free; wanted are {parts}, and "
            f"{FREE_BYTES_MIN / 1e9:.1f} GB that stay free: name another place with --work, or "
            "leave rivals out with --beside"
        )


def load_rivals(
    names: Sequence[str],
    segments: Sequence[Path],
    folder: Path,
    *,
    entries_count: int,
    say: Callable[[str], None],
) -> tuple[list[Engine], dict[str, Any]]:
    """Load the rows into each rival.

    Args:
        names: of ``RIVALS``.
        segments: the live ones, ascending.
        folder: each rival gets a folder in it.
        entries_count: entries in all segments.
        say: told of progress, and of what is not installed.

    Returns:
        Those that are ready, and what is to be known of each, JSON-ready.
    """
    engines: list[Engine] = []
    facts: dict[str, Any] = {}
    for name in names:
        say(f"loading {entries_count:,} rows for {name} …")
        own = folder / name
        own.mkdir()
        try:
            engine: Engine = (
                ChdbEngine(segments, own)
                if name == "chdb"
                else JsonlEngine(segments, own, entries_count=entries_count)
            )
        except ImportError as error:
            say(f"going on without {name}: {error}; it needs {RIVALS[name]}")
            facts[name] = {"missing": str(error)}
            continue
        engines.append(engine)
        facts[name] = dict(engine.facts)
    return engines, facts
