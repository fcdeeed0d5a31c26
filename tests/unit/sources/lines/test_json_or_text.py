from __future__ import annotations

import pyarrow as pa

from meshtrail.sources.json_columns import NOT_JSON, TEXT
from meshtrail.sources.lines.json_or_text import JsonOrText


def part(*lines: bytes) -> JsonOrText:
    return JsonOrText(pa.array(lines, pa.binary()), {"a": TEXT})


def test_lines_of_both_kinds_come_together_again_in_their_order() -> None:
    parts = part(b"x", b'{"a":1}', b"y", b'2026-11-21T01:31:24Z {"a":2}', b"\xff", b"{")
    assert parts.texts.to_pylist() == ["x", "y", "!"]
    assert parts.join(parts.json.text("a"), parts.texts).to_pylist() == [
        *("x", "1", "y", "2", "!", None),
    ]
    assert parts.bad == {5: NOT_JSON}
    assert [time is not None for time in parts.runtime_time.to_pylist()] == [
        *(False, False, False, True, False, False),
    ]


def test_lines_of_one_kind_and_none_at_all_are_kept() -> None:
    parts = part(b"x", b"y")
    assert parts.join(parts.json.text("a"), parts.texts).to_pylist() == ["x", "y"]
    parts = part(b'{"a":1}')
    assert parts.join(parts.json.text("a"), parts.texts).to_pylist() == ["1"]
    parts = part()
    assert parts.join(parts.json.text("a"), parts.texts).to_pylist() == []
