"""SQL that wants more than to read events: none of it may get anywhere, by any door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

REFUSED: Final = (
    "COPY (SELECT 1) TO '{folder}/written'",
    "COPY events TO '{folder}/written' (FORMAT parquet)",
    "COPY (SELECT 1) TO '{segment}'",
    "EXPORT DATABASE '{folder}/written'",
    "ATTACH '{folder}/written.db'",
    "ATTACH '{folder}/written.db' AS other; CREATE TABLE other.x AS SELECT 1",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE VIEW events AS SELECT 1",
    "DROP VIEW events",
    "INSERT INTO events SELECT * FROM events",
    "UPDATE events SET url_path = '/'",
    "DELETE FROM events",
    "WITH x AS (INSERT INTO events SELECT * FROM events RETURNING *) SELECT * FROM x",
    "INSTALL httpfs",
    "LOAD httpfs",
    "FORCE INSTALL httpfs FROM 'http://127.0.0.1:1'",
    "PRAGMA database_list",
    "PRAGMA enable_profiling = 'json'",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "RESET lock_configuration",
    "CALL pragma_version()",
    "CHECKPOINT",
    "USE memory",
    "PREPARE x AS SELECT 1",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{folder}/written'",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM '{secret}'",
    'SELECT * FROM "{segment}"',
    "SELECT * FROM read_parquet('{segment}')",
    "SELECT * FROM parquet_metadata('{segment}')",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM sql_auto_complete('SEL')",
    "SELECT * FROM information_schema.tables",
    "SELECT getenv('HOME')",
    "SELECT current_setting('allowed_directories')",
    "SELECT entry FROM events",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '{folder}/written'",
    "",
    ";",
    "not SQL at all",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT 1 -- " + "x" * 120_000,
)
"""Each is answered with 400."""

EXHAUSTING: Final = (
    (
        "SELECT count(*) FROM events a, events b, events c, events d, events e, events f, "
        "events g, events h, events i, events j, events k, events l"
    ),
    "SELECT sum(a.i * b.i) FROM range(3000000) a(i), range(3000000) b(i)",
    "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT max(n) FROM x",
    "SELECT list(i) FROM range(3000000000) r(i)",
    "SELECT length(repeat('x', 3000000000)) FROM events",
    "SELECT i, repeat('x', 100000) FROM range(1000000) r(i) ORDER BY 2, 1 DESC",
    "SELECT sum(levenshtein(repeat('a', 20000 + i), repeat('b', 20000))) FROM range(2000) r(i)",
    "SELECT length(range(3000000000))",
    "SELECT length(lpad('x', 2000000000, 'y')), length(printf('%1000000000d', 1))",
)
"""Each reaches its budget: 422."""


def filled(sql: str, *, folder: Path, segment: Path, secret: Path) -> str:
    """The SQL with the places that it goes for."""
    for name, path in (("folder", folder), ("segment", segment), ("secret", secret)):
        sql = sql.replace(f"{{{name}}}", str(path))
    return sql
