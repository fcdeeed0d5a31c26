from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from meshtrail.api.row_forms import AnswerFacts, make_form

SCHEMA = pa.schema([("log_index", pa.int64()), ("url_path", pa.string())])
FACTS = AnswerFacts(log="prod/east/1f2e3d4c", tree_size=9, checkpoint_size=9, root_hash="0a" * 32)
Rows = list[dict[str, Any]]

ROWS: Rows = [{"log_index": 8, "url_path": "/a\n\x1b"}, {"log_index": 7}, {"log_index": 2}]
PARTS: list[Rows] = [[], ROWS[:1], ROWS[1:], []]


def form_all(name: str, parts: list[Rows]) -> bytes:
    form = make_form(name)  # type: ignore[arg-type] # one of the three
    data = form.begin(FACTS, SCHEMA)
    for rows in parts:
        data += form.add(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return data + form.end(found=3, has_more=True)


@pytest.mark.parametrize("parts", [PARTS, [ROWS]])
def test_json_is_one_object_however_the_rows_came(parts: list[Rows]) -> None:
    assert json.loads(form_all("json", parts)) == {
        "log": "prod/east/1f2e3d4c",
        "tree_size": 9,
        "checkpoint": {"tree_size": 9, "root_hash": "0a" * 32},
        "columns": ["log_index", "url_path"],
        "rows": ROWS,
        "found": 3,
        "has_more": True,
    }


def test_json_without_rows_is_still_one_object() -> None:
    assert json.loads(form_all("json", [[]]))["rows"] == []


def test_lines_are_rows_and_nothing_else() -> None:
    lines = form_all("ndjson", PARTS).split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == ROWS
    # Nothing that a terminal would act on.
    assert b"\x1b" not in b"".join(lines)


def test_an_arrow_stream_has_the_facts_and_says_at_its_end_that_it_is_whole() -> None:
    reader = pa.ipc.open_stream(form_all("arrow", PARTS))
    told = {name.decode(): value for name, value in reader.schema.metadata.items()}
    assert told["meshtrail.log"] == b"prod/east/1f2e3d4c"
    assert json.loads(told["meshtrail.tree_size"]) == 9
    assert json.loads(told["meshtrail.checkpoint"])["root_hash"] == "0a" * 32
    rows = []
    last: dict[bytes, bytes] = {}
    for batch, metadata in reader.iter_batches_with_custom_metadata():
        rows += batch.to_pylist()
        last = metadata
    assert rows == [{"url_path": None, **row} for row in ROWS]
    assert last == {b"found": b"3", b"has_more": b"true"}


def test_nothing_is_held_back_by_the_forms_that_stream() -> None:
    for form in (make_form("ndjson"), make_form("arrow")):
        form.begin(FACTS, SCHEMA)
        batch = pa.RecordBatch.from_pylist(ROWS, schema=SCHEMA)
        assert len(form.add(batch)) > 50
        assert not form.is_whole
