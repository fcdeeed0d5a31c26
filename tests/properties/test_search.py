"""Query results against a naive evaluation in Python over the same rows."""

from __future__ import annotations

import fnmatch
import ipaddress
import random  # noqa: TID251 - seeded: the same rows each time
import re
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.search import plan
from meshtrail.search.limits import SearchLimits
from meshtrail.search.plan import SearchRequest
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, STEP_NS, make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = dict[str, Any]

SEGMENT_ROWS = (40, 1, 25, 60, 7, 3)
NOW = UnixNanos(FIRST_NS + 3_600 * STEP_NS)
PATHS = ["/", "/admin/x", "/admin/", "/a%_b", "/v1/items", "/v2/items", "/é", "/a b", '/q"uote', ""]
NAMES = [f"spiffe://td/ns/{space}/sa/{name}" for space in ("a", "b") for name in ("web", "db")]
IPS = ["10.0.0.1", "10.0.1.77", "10.0.1.128", "10.0.2.1", "10.1.0.9", "192.168.7.7", "2001:db8::1"]
TRACES = [bytes([at]) * 16 for at in range(1, 9)]
REQUESTS = [uuid.UUID(int=at + 1) for at in range(8)]
STATUSES = [200, 201, 301, 403, 404, 500, 503]
DECISIONS = ["allowed", "denied", "error", "unknown"]
PATTERNS = ["/*", "*", "/admin/*", "*items", "/v?/items", "/a?_b", "*a*", "?"]
REGEXES = ["^/v[0-9]+/", "items$", "a", "^/$", "(admin|items)", "."]
NETWORKS = ["10.0.0.0/8", "10.0.0.0/23", "10.0.0.0/24", "10.0.1.64/26", "10.0.0.1/32", "0.0.0.0/1"]


class Asked(NamedTuple):
    """A query as text, and what it means."""

    text: str
    holds: Callable[[Row], bool]


def make_rows(seed: int) -> list[Row]:
    """Rows of few distinct values, each missing now and then."""
    chance = random.Random(seed)  # noqa: S311 - no secrets: rows to search

    def one_of(values: list[Any]) -> object:
        return chance.choice([*values, None])

    return [
        {
            "url_path": one_of(PATHS),
            "http_response_status_code": one_of(STATUSES),
            "decision": one_of(DECISIONS),
            "src_spiffe_id": one_of(NAMES),
            "dst_spiffe_id": one_of(NAMES),
            "src_ip": one_of(IPS),
            "dst_ip": one_of(IPS),
            "trace_id": one_of(TRACES),
            "request_id": one_of([request.bytes for request in REQUESTS]),
        }
        for _ in range(sum(SEGMENT_ROWS))
    ]


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def equal(field: str, column: str, value: str, held: object) -> Asked:
    return Asked(f"{field}:{value}", lambda row: row[column] == held)


def matches(pattern: str, text: str | None) -> bool:
    """Shell matching, with ``[`` as a plain character."""
    return text is not None and fnmatch.fnmatchcase(text, pattern)


def lies_in(network: str, text: str | None) -> bool:
    if text is None or ":" in text:
        return False
    return ipaddress.ip_address(text) in ipaddress.ip_network(network)


def compares(operator: str, number: int) -> Callable[[int | None], bool]:
    def holds(value: int | None) -> bool:
        if value is None:
            return False
        return {
            ">=": value >= number,
            ">": value > number,
            "<=": value <= number,
            "<": value < number,
        }[operator]

    return holds


def any_of(asked: list[Asked]) -> Callable[[Row], bool]:
    return lambda row: any(one.holds(row) for one in asked)


def all_of(asked: list[Asked]) -> Callable[[Row], bool]:
    return lambda row: all(one.holds(row) for one in asked)


paths = st.sampled_from(PATHS).map(lambda path: equal("path", "url_path", quoted(path), path))
path_patterns = st.sampled_from(PATTERNS).map(
    lambda pattern: Asked(f"path:{pattern}", lambda row: matches(pattern, row["url_path"]))
)
path_regexes = st.sampled_from(REGEXES).map(
    lambda regex: Asked(
        f"path:~{quoted(regex)}",
        lambda row: row["url_path"] is not None and bool(re.search(regex, row["url_path"])),
    )
)
statuses = st.builds(
    lambda operator, number: Asked(
        f"status:{operator}{number}",
        lambda row: compares(operator, number)(row["http_response_status_code"]),
    ),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.integers(190, 510),
)
status_ranges = st.builds(
    lambda low, high, opening, closing: Asked(
        f"status:{opening}{low} TO {high}{closing}",
        lambda row: (
            compares(">=" if opening == "[" else ">", low)(row["http_response_status_code"])
            and compares("<=" if closing == "]" else "<", high)(row["http_response_status_code"])
        ),
    ),
    st.sampled_from(STATUSES),
    st.sampled_from(STATUSES),
    st.sampled_from("[{"),
    st.sampled_from("]}"),
)
status_lists = st.lists(st.sampled_from(STATUSES), min_size=1, max_size=4).map(
    lambda listed: Asked(
        f"status:({', '.join(map(str, listed))})",
        lambda row: row["http_response_status_code"] in listed,
    )
)
decisions = st.sampled_from(DECISIONS).map(lambda one: equal("decision", "decision", one, one))
either_name = st.sampled_from(NAMES).map(
    lambda name: Asked(
        f"spiffe:{name}", lambda row: name in (row["src_spiffe_id"], row["dst_spiffe_id"])
    )
)
name_patterns = st.sampled_from(["*/sa/web", "*/ns/a/*", "spiffe://*"]).map(
    lambda pattern: Asked(
        f"src.spiffe:{pattern}", lambda row: matches(pattern, row["src_spiffe_id"])
    )
)
networks = st.sampled_from(NETWORKS).map(
    lambda network: Asked(
        f"ip:{network}",
        lambda row: lies_in(network, row["src_ip"]) or lies_in(network, row["dst_ip"]),
    )
)
traces = st.sampled_from(TRACES).map(lambda one: equal("trace", "trace_id", one.hex(), one))
trace_lists = st.lists(st.sampled_from(TRACES), min_size=1, max_size=4).map(
    lambda listed: Asked(
        f"trace:({' OR '.join(one.hex() for one in listed)})", lambda row: row["trace_id"] in listed
    )
)
requests = st.sampled_from(REQUESTS).map(
    lambda one: equal("request", "request_id", str(one), one.bytes)
)
has_value = st.sampled_from(["trace_id", "request_id", "decision", "src_ip"]).map(
    lambda column: Asked(f"{column}:*", lambda row: row[column] is not None)
)
indexes = st.builds(
    lambda operator, number: Asked(
        f"index:{operator}{number}", lambda row: compares(operator, number)(row["log_index"])
    ),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.integers(-1, sum(SEGMENT_ROWS) + 1),
)
arrivals = st.builds(
    lambda operator, at: Asked(
        f"received:{operator}{FIRST_NS + at * STEP_NS}",
        lambda row: compares(operator, FIRST_NS + at * STEP_NS)(row["received_time"]),
    ),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.integers(0, sum(SEGMENT_ROWS)),
)
arrivals_back = st.integers(3_600 - sum(SEGMENT_ROWS), 3_600).map(
    lambda back: Asked(
        f"received:>=-{back}s", lambda row: bool(row["received_time"] >= NOW - back * STEP_NS)
    )
)
ids = st.builds(
    lambda one, other: Asked(f"({one.text} OR {other.text})", any_of([one, other])),
    traces,
    requests,
)
terms = st.one_of(
    ids, paths, path_patterns, path_regexes, statuses, status_ranges, status_lists, decisions,
    either_name, name_patterns, networks, traces, trace_lists, requests, has_value, indexes,
    arrivals, arrivals_back,
)  # fmt: skip


def joined(inner: st.SearchStrategy[Asked]) -> st.SearchStrategy[Asked]:
    several = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(
        inner.map(lambda one: Asked(f"NOT ({one.text})", lambda row: not one.holds(row))),
        several.map(lambda all_: Asked(f"({' OR '.join(one.text for one in all_)})", any_of(all_))),
        several.map(lambda all_: Asked(f"({' AND '.join(o.text for o in all_)})", all_of(all_))),
        several.map(lambda all_: Asked(f"({' '.join(one.text for one in all_)})", all_of(all_))),
    )


queries = st.one_of(
    st.recursive(terms, joined, max_leaves=6),
    st.lists(terms, min_size=2, max_size=3).map(
        lambda all_: Asked(" AND ".join(one.text for one in all_), all_of(all_))
    ),
    st.lists(terms, min_size=2, max_size=3).map(
        lambda all_: Asked(" OR ".join(one.text for one in all_), any_of(all_))
    ),
)


class Searched:
    """A log and its rows; no tuple, whose text would be all of them."""

    def __init__(self, searcher: Searcher, rows: list[Row]) -> None:
        self.searcher = searcher
        self.rows = rows


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    log = make_log(tmp_path_factory.mktemp("log") / "data")
    rows = make_rows(seed=7)
    waiting = iter(rows)
    for count in SEGMENT_ROWS:
        log.add_segment([next(waiting) for _ in range(count)])
    for index, row in enumerate(rows):
        row |= {"log_index": index, "received_time": FIRST_NS + index * STEP_NS}
    with (
        pytest.MonkeyPatch.context() as patch,
        Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=SearchLimits()) as searcher,
    ):
        # Several steps, and their borders inside of segments.
        patch.setattr(plan, "FIRST_ENTRIES", 10)
        yield Searched(searcher, rows)


@given(asked=queries, limit=st.sampled_from([1, 3, 1_000]))
@settings(max_examples=300, deadline=None)
def test_a_search_finds_what_a_naive_evaluation_finds(
    searched: Searched, asked: Asked, limit: int
) -> None:
    request = SearchRequest(query=asked.text, columns=("log_index", "url_path"), limit=limit)
    searcher = searched.searcher
    found = [
        row["log_index"]
        for batch in searcher.find(searcher.plan(request, now_ns=NOW))
        for row in batch.to_pylist()
    ]
    expected = [row["log_index"] for row in reversed(searched.rows) if asked.holds(row)]
    assert found == expected[:limit]
