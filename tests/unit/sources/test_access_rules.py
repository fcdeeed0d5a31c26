from __future__ import annotations

import pyarrow as pa
import pytest

from meshtrail.sources import access_rules as rules
from meshtrail.sources.event_columns import EventColumns


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/a?b?c", ("/a", "b?c")),
        ("/a?", ("/a", "")),
        ("/a", ("/a", None)),
        ("?", ("", "")),
        (None, (None, None)),
    ],
)
def test_path_ends_at_the_first_question_mark(
    path: str | None, wanted: tuple[str | None, str | None]
) -> None:
    out = EventColumns(2)
    rules.tell_path(out, pa.array([path, "/x"]), content_type=pa.array([None, "text/plain"]))
    assert (out.columns["url_path"][0].as_py(), out.columns["url_query"][0].as_py()) == wanted
    assert out.columns["rpc_method"].to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("trailer", "header", "wanted"),
    [("0", "7", 0), (None, "7", 7), ("", "7", None), ("1000", None, None), ("٣", None, None)],
)
def test_grpc_status_of_the_trailers_counts_before_that_of_the_headers(
    trailer: str | None, header: str | None, wanted: int | None
) -> None:
    out = EventColumns(1)
    trailers, headers = pa.array([trailer], pa.string()), pa.array([header], pa.string())
    rules.tell_grpc_status(out, trailer=trailers, header=headers)
    assert out.columns["rpc_grpc_status_code"].to_pylist() == [wanted]


def test_end_that_does_not_fit_is_told() -> None:
    out = EventColumns(3)
    out.columns["time"] = pa.array([1, 2**63 - 2, None])
    out.columns["duration"] = pa.array([2, 2, 2])
    rules.tell_end(out)
    assert out.columns["end_time"].to_pylist() == [3, None, None]
    assert out.problems["end of the happening does not fit"].to_pylist() == [False, True, False]
