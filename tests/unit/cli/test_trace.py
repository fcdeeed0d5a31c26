from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from tests.unit.search.small_log import FIRST_NS, ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

TRACE = bytes(range(16))
REQUEST = uuid.UUID("8c1a2b3c-0d0e-4f10-8111-121314151617")
MS = 1_000_000
WEB, CART = "spiffe://td/ns/shop/sa/web", "spiffe://td/ns/shop/sa/cart"
SAME = {
    "trace_id": TRACE,
    "request_id": REQUEST.bytes,
    "http_request_method": "GET",
    "url_path": "/cart\x1b[2J",
    "src_spiffe_id": WEB,
    "dst_spiffe_id": CART,
    "http_response_status_code": 403,
    "decision": "denied",
    "policy_name": "cart-allow",
    "src_spiffe_id_trust": "attested",
    "duration": 1_500_000,
    "time": FIRST_NS + MS,
    "end_time": FIRST_NS + 2 * MS,
}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))
    log = make_log(tmp_path / "data")
    upstream = {"envoy_upstream_local_ip": "10.0.0.5", "envoy_upstream_local_port": 4}
    entrance = {"dst_spiffe_id": WEB, "src_ip": "9.9.9.9", "side": "destination"}
    log.add_segment([{"url_path": "/other"}, {**SAME, **upstream, "side": "source"}])
    log.add_segment([{**SAME, "src_ip": "10.0.0.5", "src_port": 4, "side": "destination"}])
    served = {"time": FIRST_NS, "end_time": FIRST_NS + 3 * MS, "url_path": "/"}
    log.add_segment([{**SAME, **entrance, **served, "src_spiffe_id": None}])
    return log


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("wanted", [TRACE.hex(), TRACE.hex().upper(), str(REQUEST)])
def test_a_trace_is_a_tree_of_calls_with_their_entries(
    wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", wanted]) == exit_codes.OK
    captured = capsys.readouterr()
    header, *lines = captured.out.splitlines()
    assert header.split() == [
        "CALL", "REQUEST", "STATUS", "DECISION", "TOOK", "ENTRIES", "TRUST"
    ]  # fmt: skip
    assert [re.split(r"  +", line) for line in lines] == [
        [
            "9.9.9.9 → shop/web",
            "GET /",
            "403",
            "denied by cart-allow",
            "1.5 ms",
            "3 destination only",
            "attested",
        ],
        [
            "└─ shop/web → shop/cart",
            "GET /cart\\x1b[2J",
            "403",
            "denied by cart-allow",
            "1.5 ms",
            "1 source, 2 destination",
            "attested",
        ],
    ]
    assert f"3 entries in 4 sealed entries of {ORIGIN}" in captured.err


@pytest.mark.usefixtures("log")
def test_json_nests_the_calls_and_has_both_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", TRACE.hex(), "--json"]) == exit_codes.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["log"], found["entries"]) == (ORIGIN, 3)
    (entrance,) = found["calls"]
    assert entrance["source"] is None
    assert entrance["joined_by"] is None
    (call,) = entrance["caused"]
    assert (call["caller"], call["callee"]) == (WEB, CART)
    assert call["source"]["log_index"] == 1
    assert call["destination"]["request_id"] == str(REQUEST)
    assert call["joined_by"] == "addresses and request id"


def test_user_of_the_entrance_is_shown_and_carried_down_to_what_it_caused(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {"trace_id": b"u" * 16}
    named = {"user_id": "alice\x1b", "user_id_trust": "attested", "user_issuer": "https://login"}
    served = {"time": FIRST_NS, "end_time": FIRST_NS + 3 * MS, "dst_spiffe_id": WEB}
    entrance = {**SAME, **ids, **served, **named, "src_spiffe_id": None, "src_ip": "9.9.9.9"}
    log.add_segment([{**entrance, "side": "destination"}, {**SAME, **ids, "side": "source"}])
    wanted = (b"u" * 16).hex()
    assert main(["trace", wanted]) == exit_codes.OK
    header, top, below = (re.split(r"  +", line) for line in capsys.readouterr().out.splitlines())
    assert header[4:] == ["TOOK", "USER", "ENTRIES", "TRUST"]
    assert top[5] == "alice\\x1b (attested)"
    assert below[5] == "alice\\x1b (derived)"
    assert main(["trace", wanted, "--json"]) == exit_codes.OK
    [call] = json.loads(capsys.readouterr().out)["calls"]
    keys = ("user", "user_issuer", "user_trust", "user_from")
    assert [call[key] for key in keys] == ["alice\x1b", "https://login", "attested", 4]
    [caused] = call["caused"]
    assert [caused[key] for key in keys] == ["alice\x1b", "https://login", "derived", 4]


@pytest.mark.usefixtures("log")
def test_call_of_nobody_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", TRACE.hex(), "--json"]) == exit_codes.OK
    [call] = json.loads(capsys.readouterr().out)["calls"]
    assert (call["user"], call["user_trust"], call["user_from"]) == (None, None, None)


def test_spans_stand_in_their_calls_and_name_calls_that_nothing_else_tells_of(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = {"trace_id": b"t" * 16, "time": FIRST_NS + MS, "duration": MS}
    span = {**ids, "kind": "span", "reporter_cluster": "web\x1b"}
    claims = {"server_address": CART, "span_name": "SELECT\x1b", "span_status": "error"}
    log.add_segment(
        [
            {**SAME, **ids, "request_id": None, "span_id": b"caller-1", "side": "destination"},
            {**span, "span_id": b"caller-1", "span_kind": "client"},
            {**span, "span_id": b"served-1", "parent_span_id": b"caller-1", "span_kind": "server"},
            {**span, **claims, "parent_span_id": b"served-1", "span_kind": "client"},
        ]
    )
    wanted = (b"t" * 16).hex()
    assert main(["trace", wanted]) == exit_codes.OK
    _, call, query = capsys.readouterr().out.splitlines()
    assert call.startswith("shop/web → shop/cart ")
    assert call.endswith("  4 destination only; spans 5, 6  attested")
    # Whatever a sender calls itself, it cannot look like an identity.
    assert re.split(r"  +", query) == [
        f"└─ web\\x1b? → {CART}?",
        *("SELECT\\x1b", "error", "-", "1.0 ms", "spans 7", "-"),
    ]
    assert main(["trace", wanted, "--json"]) == exit_codes.OK
    [found] = json.loads(capsys.readouterr().out)["calls"]
    assert [one["log_index"] for one in found["spans"]] == [5, 6]
    assert found["spans"][1]["parent_span_id"] == b"caller-1".hex()
    [caused] = found["caused"]
    assert (caused["source"], caused["destination"], len(caused["spans"])) == (None, None, 1)


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("wanted", ["ab" * 16, "nothing", 'x" OR kind:*', "\\"])
def test_an_id_that_nothing_has_is_not_found(
    wanted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["trace", wanted]) == exit_codes.BAD_INPUT
    assert "nothing has the id" in capsys.readouterr().err
