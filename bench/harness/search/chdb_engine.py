"""The same rows in chDB, which is ClickHouse in this process: MergeTree by time, Bloom filters."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any, Final

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
from meshtrail.search.table import event_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.harness.search.questions import Question

TABLE: Final = "bench.events"
LOOKED_UP: Final = ("trace_id", "request_id", "src_spiffe_id", "dst_spiffe_id")
_VARIED: Final = frozenset({"url_path", "url_query", "request_id_text"})
"""Texts that nearly all differ; all others are few, and dictionaries hold them."""

_NEWEST: Final = f"ORDER BY received_time DESC, log_index DESC LIMIT {LIMIT}"


class ChdbEngine:
    """Answers by SQL; what it finds comes as Arrow, as it does from meshtrail."""

    name = "chdb"
    samples_max: int | None = None

    def __init__(self, segments: Sequence[Path], folder: Path) -> None:
        """Load the event columns of a log.

        Args:
            segments: the live ones.
            folder: where the tables are kept.

        Raises:
            ImportError: chDB is not installed.
        """
        self._sessions = importlib.import_module("chdb.session")
        self._folder = folder
        self._session = self._sessions.Session(str(folder))
        self._narrow = ", ".join(event_columns())
        self.facts: Mapping[str, Any] = self._load(segments)

    def ask(self, question: Question) -> Answer | None:
        """The answer."""
        match question:
            case ById(column=column, value=value, is_wide=is_wide):
                # A handful of rows is faster sorted here than read in the order of the table.
                return self._find(f"{column} = unhex('{value.hex()}')", is_wide=is_wide)[:LIMIT]
            case ByCaller(identity=identity, window=window):
                within = f"received_time >= {window.from_ns} AND received_time < {window.to_ns}"
                where = f"src_spiffe_id = {_quote(identity)} AND {within}"
                return self._find(where, order=_NEWEST)
            case ByPrincipal(identity):
                name = _quote(identity)
                return self._find(
                    f"src_spiffe_id = {name} OR dst_spiffe_id = {name}", order=_NEWEST
                )
            case ByPath(pattern):
                return self._find(f"match(url_path, {_quote(f'^{pattern}$')})", order=_NEWEST)
            case PairCounts(window):
                columns = self._query(
                    f"SELECT src_spiffe_id, dst_spiffe_id, count() AS entries_count FROM {TABLE} "  # noqa: S608 - a benchmark's own table
                    f"WHERE received_time >= {window.from_ns} AND received_time < {window.to_ns} "
                    "GROUP BY src_spiffe_id, dst_spiffe_id"
                ).to_pydict()
                callers, callees, counts = columns.values()
                return dict(zip(zip(callers, callees, strict=True), counts, strict=True))
            case Proof():
                return None

    def warm(self) -> None:
        """Read all files of the table."""
        read_through(self._files())

    def cool(self) -> None:
        """Drop all files, and everything that the session keeps in memory."""
        self._session.close()
        drop_cached(self._files())
        self._session = self._sessions.Session(str(self._folder))
        # The table itself is opened at its first use, which is no part of a question.
        self._query(f"SELECT * FROM {TABLE} LIMIT 0")  # noqa: S608 - a benchmark's own table

    def close(self) -> None:
        """Let go of the session."""
        self._session.close()

    def _find(self, where: str, *, order: str = "", is_wide: bool = False) -> tuple[int, ...]:
        columns = "*" if is_wide else self._narrow
        rows = self._query(f"SELECT {columns} FROM {TABLE} WHERE {where} {order}")  # noqa: S608 - a benchmark's own table
        return tuple(sorted(rows["log_index"].to_pylist(), reverse=True))

    def _query(self, sql: str) -> pa.Table:
        return self._session.query(sql, "ArrowTable")

    def _files(self) -> list[Path]:
        return [path for path in self._folder.rglob("*") if path.is_file()]

    def _load(self, segments: Sequence[Path]) -> dict[str, Any]:
        """Load, then merge into as few parts as it wants to have: its best case."""
        run = self._session.query
        started = time.monotonic()
        run("CREATE DATABASE bench")
        run(create_table_sql())
        names = ", ".join(EVENT_SCHEMA.names)
        for path in segments:
            run(f"INSERT INTO {TABLE} SELECT {names} FROM file({_quote(str(path))}, Parquet)")  # noqa: S608 - a benchmark's own table
        loaded = time.monotonic()
        run(f"OPTIMIZE TABLE {TABLE} FINAL")
        merged = time.monotonic()
        parts = self._query(
            "SELECT sum(bytes_on_disk) AS bytes, sum(rows) AS rows, count() AS parts "
            "FROM system.parts WHERE active AND database = 'bench'"
        ).to_pylist()[0]
        version = self._query("SELECT version() AS version").to_pylist()[0]["version"]
        return {
            "clickhouse_version": version,
            "load_s": round(loaded - started, 1),
            "merge_s": round(merged - loaded, 1),
            "parts_count": parts["parts"],
            "disk_bytes": parts["bytes"],
            "bytes_per_entry": round(parts["bytes"] / parts["rows"], 1),
        }


def create_table_sql() -> str:
    """The table: in order of arrival, with Bloom filters on the ids and identities.

    Every question here is about a time or about the newest, so the order of arrival serves it best.
    """
    columns = [f"{field.name} {_clickhouse_type(field)}" for field in EVENT_SCHEMA]
    indexes = [
        f"INDEX {name}_bloom {name} TYPE bloom_filter(0.01) GRANULARITY 1" for name in LOOKED_UP
    ]
    return (
        f"CREATE TABLE {TABLE} ({', '.join([*columns, *indexes])}) "
        "ENGINE = MergeTree ORDER BY (received_time, log_index)"
    )


def _clickhouse_type(field: pa.Field) -> str:
    if pa.types.is_fixed_size_binary(field.type):
        name = f"FixedString({field.type.byte_width})"
    elif pa.types.is_integer(field.type):
        name = f"Int{field.type.bit_width}"
    else:
        name = "String"
    if field.nullable:
        name = f"Nullable({name})"
    is_few = pa.types.is_string(field.type) and field.name not in _VARIED
    return f"LowCardinality({name})" if is_few else name


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
