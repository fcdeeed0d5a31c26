from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from meshtrail.app.sql_process import SqlSession
from meshtrail.note import format_vkey
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def ask(session: SqlSession, **asked: Any) -> pa.Table:
    return session.answer(pa.table({}, metadata={"asked": json.dumps(asked)}))


def said(answer: pa.Table) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answer.schema.metadata[b"said"])
    return told


def run(session: SqlSession, sql: str) -> dict[str, Any]:
    return said(ask(session, run={"sql": sql, "from_ns": None, "to_ns": None}))


def test_a_session_is_opened_and_answers_batch_by_batch_until_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded: list[int] = []
    # It would bound the process that runs the tests.
    monkeypatch.setattr("meshtrail.app.sql_process.limit_memory", bounded.append)
    log = make_log(tmp_path / "data")
    log.add_segment([{}] * 3)
    session = SqlSession()
    limits = {"memory_bytes_max": 64 << 20, "threads_count": 1, "seconds_max": 5.0}
    opening = {
        "data": str(log.layout.root),
        "vkey": format_vkey(log.signer.verifier),
        "limits": limits,
    }
    assert said(ask(session, open=opening)) == {}
    assert bounded == [(64 + 256) << 20]
    assert run(session, "SELECT log_index FROM events")["catalogue"]["log"] == ORIGIN
    rows: list[dict[str, Any]] = []
    while not (answer := ask(session, next=None)).schema.metadata:
        rows += answer.to_pylist()
    assert [row["log_index"] for row in rows] == [0, 1, 2]
    assert said(answer) == {"end": True}
    assert run(session, "SELECT 1; SELECT 2")["catalogue"]["tree_size"] == 3
    told = said(ask(session, next=None))
    assert (told["error"], "exactly one statement" in told["message"]) == ("QueryError", True)


def test_the_process_takes_no_more_memory_than_it_was_given() -> None:
    script = (
        "from meshtrail.app.sql_process import limit_memory\n"
        "assert limit_memory(64 << 20)\n"
        "held = bytearray(32 << 20)\n"
        "try:\n"
        "    bytearray(64 << 20)\n"
        "except MemoryError:\n"
        "    print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
        check=True,
    )
    assert done.stdout == "refused\n"
