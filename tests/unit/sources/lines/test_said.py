from __future__ import annotations

import pyarrow as pa

from meshtrail.sources.lines.said import mend_lines, said_only


def test_only_what_says_something_is_said() -> None:
    assert said_only(pa.array(["a", "", "-", None, "--"])).to_pylist() == ["a", *[None] * 3, "--"]


def test_bytes_that_are_no_text_cost_a_line_nothing_but_themselves() -> None:
    assert mend_lines(pa.array([b"a\xffb", b"c"])).to_pylist() == [b"a!b", b"c"]
