"""What a person's SQL may be: one SELECT over ``events``, judged on its syntax tree.

DuckDB's statement type alone is not enough: ``WITH x AS (INSERT … RETURNING *) SELECT …`` counts as
a SELECT there, ``query('…')`` runs text, and table functions read files and settings.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import duckdb

from meshtrail.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VIEW: Final = "events"
SQL_CHARACTERS_MAX: Final = 100_000

_QUERY_NODES: Final = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
_TABLE_FUNCTIONS: Final = {"range", "generate_series", "unnest"}
# Scalars that change something, wait, or tell about the process rather than the events.
_DENIED_FUNCTIONS: Final = {
    "current_setting",
    "currval",
    "getenv",
    "getvariable",
    "in_search_path",
    "nextval",
    "pg_sleep",
    "setseed",
    "setval",
    "sleep_ms",
    "write_log",
}
_PLAIN_NAME = re.compile(r"\w[\w ]*")


def check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one statement in ``sql``, if it may run.

    Raises:
        QueryError: more or less than one statement, another type than SELECT, or one that names a
            table, table function or function that is not for queries.
    """
    if len(sql) > SQL_CHARACTERS_MAX:
        raise QueryError(f"SQL has at most {SQL_CHARACTERS_MAX} characters, got {len(sql)}")
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise QueryError(f"SQL: {_first_lines(error)}", query=sql) from error
    if len(statements) != 1:
        raise QueryError(f"SQL: exactly one statement is wanted, got {len(statements)}", query=sql)
    (statement,) = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise QueryError(
            f"SQL: only a SELECT may run here, this is {statement.type.name}", query=sql
        )
    _check_tree(_parse_tree(connection, statement.query))
    return statement


def _parse_tree(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, Any]:
    # Fetched to the end: a connection runs nothing else while a result is open.
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    try:
        tree: dict[str, Any] = json.loads(text)
    except RecursionError as error:
        raise QueryError("SQL: nested too deeply", query=sql) from error
    if tree.get("error") is not False:
        raise QueryError(f"SQL: {tree.get('error_message', 'not understood')}", query=sql)
    return tree


def _check_tree(tree: dict[str, Any]) -> None:
    nodes = list(_walk(tree))
    tables = {VIEW}
    for node in nodes:
        for entry in node.get("cte_map", {}).get("map", []):
            tables.add(_checked_cte(str(entry["key"])))
        if node.get("type") == "RECURSIVE_CTE_NODE":
            tables.add(_checked_cte(str(node.get("cte_name", ""))))
    for node in nodes:
        _check_node(node, tables)


def _check_node(node: dict[str, Any], tables: set[str]) -> None:
    kind = str(node.get("type", ""))
    if kind.endswith("_NODE") and kind not in _QUERY_NODES:
        raise QueryError(f"SQL: only SELECTs may stand in it, this has {_spoken(kind)}")
    if kind == "BASE_TABLE":
        path = node["qualified_name"]["path"]
        if len(path) != 1 or path[0].lower() not in tables:
            raise QueryError(
                f"SQL: there is one table, {VIEW}; {'.'.join(path)} is not for queries"
            )
    if kind == "SHOW_REF" and node.get("table_name"):
        raise QueryError(f"SQL: there is one table, {VIEW}: DESCRIBE {VIEW} lists its columns")
    if kind == "TABLE_FUNCTION":
        _check_function(node["function"], _TABLE_FUNCTIONS.__contains__)
    elif "function_name" in node:
        _check_function(node, lambda name: name not in _DENIED_FUNCTIONS)


def _check_function(node: dict[str, Any], is_allowed: Callable[[str], bool]) -> None:
    name = str(node.get("function_name", ""))
    if not is_allowed(name.lower()):
        raise QueryError(f"SQL: {name}() is not for queries")


def _checked_cte(name: str) -> str:
    # A name that looks like a file would, out of its scope, be read as that file.
    if not _PLAIN_NAME.fullmatch(name):
        raise QueryError(f"SQL: a WITH name has letters, digits and _ only, got {name[:80]!r}")
    return name.lower()


def _walk(tree: object) -> Iterator[dict[str, Any]]:
    """Every object in the tree, without recursion: nesting is the writer's choice."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _spoken(node_type: str) -> str:
    return node_type.removesuffix("_NODE").removesuffix("_QUERY").replace("_", " ")


def _first_lines(error: Exception) -> str:
    return str(error).strip().split("\n\n")[0]
