from __future__ import annotations

import pyarrow as pa

from meshtrail.sources.trace_context import read_trace

NAMES = ("traceparent", "b3", "x-b3-traceid", "x-b3-spanid")
A, B, C = "a" * 32, "b" * 16, "c" * 16


def ids(**headers: str) -> tuple[str | None, str | None]:
    """Trace and span id of a request between two that have others."""
    other = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00"}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    columns = {
        name: pa.array([other.get(name), given.get(name), None], pa.string()) for name in NAMES
    }
    trace, span = (column.to_pylist() for column in read_trace(columns))
    assert (trace[0], span[0]) == (b"\x11" * 16, b"\x22" * 8)
    assert (trace[2], span[2]) == (None, None)
    return trace[1] and trace[1].hex(), span[1] and span[1].hex()


def test_traceparent_comes_before_b3_and_b3_before_its_long_form() -> None:
    long = {"x_b3_traceid": "d" * 32, "x_b3_spanid": "e" * 16}
    assert ids(traceparent=f"00-{A}-{B}-01", b3=f"{B}-{C}", **long) == (A, B)
    assert ids(b3=f"{B}-{C}", **long) == ("0" * 16 + B, C)
    assert ids(**long) == ("d" * 32, "e" * 16)
    assert ids() == (None, None)


def test_a_traceparent_of_another_shape_is_none() -> None:
    for value in (
        f"ff-{A}-{B}-01",
        f"00-{'0' * 32}-{B}-01",
        f"00-{A}-{'0' * 16}-01",
        f"00-{A}-{B}-01-extra",
        f"00-{A}-{B}-1",
        f"00_{A}-{B}-01",
        f"00-{A.upper()}-{B}-01",
        f"00-{'é' * 16}-{B}-01",
        "",
        "0" * 1_000_000,
    ):
        assert ids(traceparent=value) == (None, None), value[:60]


def test_b3_ends_behind_its_ids_or_goes_on_with_a_dash() -> None:
    for value in (f"{A}-{B}", f"{A}-{B}-1", f"{A}-{B}-d-{C}", f"{A}-{B}-"):
        assert ids(b3=value) == (A, B)
    for value in (f"{A}-{B}1", f"{A}-{B}\n", f"{A}-{B}é", f"{A}{B}", f"{A}-{'0' * 16}", "0", "1-1"):
        assert ids(b3=value) == (None, None)


def test_a_long_form_may_be_upper_case_and_without_a_span() -> None:
    assert ids(x_b3_traceid=A.upper(), x_b3_spanid=B.upper()) == (A, B)
    assert ids(x_b3_traceid=B) == ("0" * 16 + B, None)
    assert ids(x_b3_traceid=A, x_b3_spanid="0" * 16) == (A, None)
    assert ids(x_b3_traceid="0" * 32, x_b3_spanid=B) == (None, None)
    # The Kelvin sign becomes a k when lowered, of another length in bytes.
    assert ids(x_b3_traceid="\u212a" + "a" * 31) == (None, None)
