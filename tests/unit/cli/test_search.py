from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from meshtrail.model.columns import COLUMNS
from meshtrail.model.event import EVENT_SCHEMA
from meshtrail.note import format_vkey, generate_signer
from meshtrail.search.fields import EITHER_END
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

TRACE = bytes(range(16))
REQUEST = uuid.UUID("8c1a2b3c-0d0e-4f10-8111-121314151617")


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))
    log = make_log(tmp_path / "data")
    log.add_segment(
        [
            {"url_path": "/admin/x", "decision": "denied", "http_response_status_code": 403},
            {"url_path": "/cart", "decision": "allowed", "trace_id": TRACE},
        ]
    )
    log.add_segment([{"url_path": "/admin/y", "request_id": REQUEST.bytes}])
    return log


Search = Callable[..., tuple[int, list[dict[str, Any]], str]]


@pytest.fixture
def search(log: SmallLog, capsys: pytest.CaptureFixture[str]) -> Search:
    """Runs a search with JSON output; gives status, rows and standard error."""

    def run(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        status = main(["search", *arguments, "--data", str(log.layout.root), "--json"])
        captured = capsys.readouterr()
        return status, [json.loads(line) for line in captured.out.splitlines()], captured.err

    return run


def indexes(found: tuple[int, list[dict[str, Any]], str]) -> list[int]:
    status, rows, _ = found
    assert status == exit_codes.OK
    return [row["log_index"] for row in rows]


def test_a_search_finds_its_events_newest_first(search: Search) -> None:
    assert indexes(search("path:/admin/*")) == [2, 0]
    assert indexes(search("path:/admin/* AND decision:denied")) == [0]
    assert indexes(search("path:/admin/*", "AND", "status:>=400")) == [0]
    assert indexes(search(f"trace:{TRACE.hex()}")) == [1]
    assert indexes(search(f"request:{REQUEST}")) == [2]
    assert indexes(search()) == [2, 1, 0]
    assert indexes(search("--limit", "2")) == [2, 1]
    assert indexes(search("path:nowhere")) == []


def test_json_names_the_columns_and_writes_ids_as_text(search: Search) -> None:
    _, (row,), _ = search(f"request:{REQUEST}")
    assert row["request_id"] == str(REQUEST)
    assert row["log"] == ORIGIN
    assert "decision" not in row
    assert "entry" not in row
    assert set(row) <= {column.name for column in COLUMNS}
    _, (row,), _ = search(f"trace:{TRACE.hex()}", "--columns", "trace,log_index")
    assert row == {"trace_id": TRACE.hex(), "log_index": 1}


@pytest.mark.parametrize("separator", [" ", "="])
def test_times_bound_the_search_by_arrival(search: Search, separator: str) -> None:
    def within(*words: str) -> list[int]:
        return indexes(search(*(part for word in words for part in word.split(separator, 1))))

    # The log was received at 08:00:00, 08:00:01 and 08:00:02.
    assert within("--from 2025-11-21T08:00:01Z".replace(" ", separator)) == [2, 1]
    assert within("--to 2025-11-21T08:00:01Z".replace(" ", separator)) == [0]
    assert within("--from -1h".replace(" ", separator)) == []
    assert within("--to -1h".replace(" ", separator)) == [2, 1, 0]


def test_sql_runs_over_the_view_and_within_the_period(search: Search) -> None:
    _, rows, _ = search("--sql", "SELECT count(*) AS n, sum(log_index) AS s FROM events")
    assert rows == [{"n": 3, "s": 3}]
    _, rows, _ = search("--sql", "SELECT url_path FROM events", "--to", "2025-11-21T08:00:01Z")
    assert rows == [{"url_path": "/admin/x"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["metod:GET"], "did you mean method"),
        (["--sql", "DROP VIEW events"], "only a SELECT"),
        (["--sql", "SELECT 1; SELECT 2"], "exactly one statement"),
        (["--columns", "entry"], "no field is called"),
        (["--from", "soon"], "no moment"),
        (["--from", "now", "--to", "-1h"], "not before --to"),
        (["--limit", "0"], "a limit is at least 1"),
    ],
)
def test_what_cannot_be_searched_is_an_input_error(
    search: Search, arguments: list[str], said: str
) -> None:
    status, rows, err = search(*arguments)
    assert (status, rows) == (exit_codes.BAD_INPUT, [])
    assert said in json.loads(err)["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sql", "SELECT 1", "method:GET"],
        ["--sql", "SELECT 1", "--columns", "path"],
        ["--sql", "SELECT 1", "--follow"],
        ["--sql", "SELECT 1", "--explain"],
        ["--format", "csv"],
        ["--format", "table"],
    ],
)
def test_arguments_that_contradict_one_another_are_usage_errors(
    search: Search, arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        search(*arguments)
    assert ended.value.code == exit_codes.USAGE


def test_a_table_says_what_the_answer_rests_on(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "decision:denied"]) == exit_codes.OK
    captured = capsys.readouterr()
    header, line = captured.out.splitlines()
    assert header.startswith("INDEX")
    assert "/admin/x" in line
    assert f"1 found in 3 sealed entries of {ORIGIN}" in captured.err
    assert "key NOT pinned" in captured.err
    main(["search", "--limit", "1", "--key", format_vkey(log.signer.verifier), "--from=2025-11-21"])
    err = capsys.readouterr().err
    assert "raise --limit" in err
    assert "received from 2025-11-21T00:00:00" in err
    assert "NOT pinned" not in err


def test_csv_has_a_header_and_escapes_what_a_terminal_would_act_on(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    log.add_segment([{"url_path": '/a,"b"\x1b[2J', "request_id": REQUEST.bytes}])
    columns = ["--columns", "index,path,request,status"]
    assert main(["search", "index:>=2", "--format", "csv", *columns]) == exit_codes.OK
    captured = capsys.readouterr()
    assert captured.out.split("\r\n") == [
        "log_index,url_path,request_id,http_response_status_code",
        f'3,"/a,""b""\\x1b[2J",{REQUEST},',
        f"2,/admin/y,{REQUEST},",
        "",
    ]
    assert captured.err.startswith("completeness: ")


@pytest.mark.parametrize("query", ["path:/admin/*", "path:nowhere"])
@pytest.mark.usefixtures("log")
def test_arrow_is_a_stream_of_the_columns_as_they_are(
    query: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert main(["search", query, "--format", "arrow"]) == exit_codes.OK
    table = pa.ipc.open_stream(capfdbinary.readouterr().out).read_all()
    assert table.schema.names == EVENT_SCHEMA.names
    assert table.column("log_index").to_pylist() == ([2, 0] if query == "path:/admin/*" else [])


@pytest.mark.usefixtures("log")
def test_explain_shows_the_plan_and_reads_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "trace:" + "ab" * 16, "--explain"]) == exit_codes.OK
    out = capsys.readouterr().out
    assert "at most 3 entries in 2 of 2 segments" in out
    assert "by Bloom filter" in out
    assert '"trace_id" = ?' in out
    assert main(["search", "path:/a/*", "--explain", "--json"]) == exit_codes.OK
    assert json.loads(capsys.readouterr().out)["branches"][0]["values"] == ["/a/%"]


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_following_shows_the_newest_in_their_order_and_then_each_new_one(
    log: SmallLog,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sealed = iter(["/admin/new", "/else", "/admin/newer"])

    def seal_one_more(_: float) -> None:
        path = next(sealed, None)
        if path is None:
            raise KeyboardInterrupt
        log.add_segment([{"url_path": path}])

    monkeypatch.setattr("meshtrail.cli.search.time.sleep", seal_one_more)
    status = main(["search", "-f", "path:/admin/*", "--limit", "1", "--format", output])
    assert status == exit_codes.INTERRUPTED
    out = capsys.readouterr().out
    assert re.findall(r"/admin/\w+", out) == ["/admin/y", "/admin/new", "/admin/newer"]
    assert out.count("INDEX") == (output == "table")


def test_ctrl_c_ends_a_search_that_runs(log: SmallLog) -> None:
    command = [sys.executable, "-m", "meshtrail", "search", "--data", str(log.layout.root)]
    endless = "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = 3"
    with subprocess.Popen([*command, "--sql", endless], stderr=subprocess.PIPE) as process:
        # It is searching as soon as the process that runs the SQL uses the processor.
        while not any(cpu_seconds(child) > 1.5 for child in children_of(process.pid)):
            assert process.poll() is None
        (child,) = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == exit_codes.INTERRUPTED
    assert not Path(f"/proc/{child}").exists()


def children_of(pid: int) -> list[int]:
    """Processes that a process started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used; none once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(
    "greedy",
    [
        "SELECT count(*) FROM range(10000000000) a, range(100000) b WHERE a.range % 7 = b.range",
        "SELECT length(repeat('x', 3000000000 + range)) FROM range(10)",
        "SELECT levenshtein(repeat('a', 200000 + range), repeat('b', 200000)) FROM range(9)",
    ],
)
@pytest.mark.usefixtures("log")
def test_sql_that_hears_no_interrupt_is_ended_all_the_same(
    greedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    status = main(["search", "--sql", greedy, "--timeout", "0.5", "--memory", "64"])
    assert status == exit_codes.UNAVAILABLE
    assert time.monotonic() - begun < 30  # its own budget would be minutes
    assert re.search("the search|the SQL|runs SQL", capsys.readouterr().err)


@pytest.mark.usefixtures("log")
def test_chosen_columns_are_headed_as_they_were_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["search", "decision:denied", "--columns", "index,path,http_response_status_code"])
    assert capsys.readouterr().out.splitlines() == [
        "index  path      http_response_status_code",
        "0      /admin/x  403",
    ]


@pytest.mark.usefixtures("log")
def test_sql_can_be_shown_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["search", "--sql", "SELECT log_index AS i, url_path FROM events ORDER BY 1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["i  url_path", "0  /admin/x", "1  /cart", "2  /admin/y"]


def test_a_search_pins_nothing_and_refuses_another_key(search: Search, tmp_path: Path) -> None:
    search()
    assert not (tmp_path / "home").exists()
    other = format_vkey(generate_signer(ORIGIN).verifier)
    status, _, _ = search("--key", other)
    assert status == exit_codes.TAMPERED
    status, _, _ = search("--require-pin")
    assert status == exit_codes.CONFIG


def test_a_directory_that_is_none_is_named_with_the_next_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--data", str(tmp_path / "none")]) == exit_codes.CONFIG
    assert "meshtrail up" in capsys.readouterr().err


def test_the_fields_are_listed_with_short_and_long_names(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["search", "--fields"]) == exit_codes.OK
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(COLUMNS) + len(EITHER_END)
    assert any(line.split()[:2] == ["path", "url_path"] for line in lines)
    assert any(line.split()[:2] == ["kind", "kind"] for line in lines)
    assert any(line.split() == ["sa", "src.sa", "or", "dst.sa"] for line in lines)
