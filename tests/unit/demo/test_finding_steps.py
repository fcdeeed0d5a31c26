"""Every step of the tour holds for what really happens, and fails for anything else."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo import finding_steps as steps
from meshtrail.demo.settling import Settled
from tests.unit.demo.fake_shell import STORY, FakeShell, Row, make_tour, shell_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.demo.story import Story
    from meshtrail.demo.tour import Tour

    Step = Callable[[Tour, Story], None]

STATUS: list[Row] = [{"sealer": "running"}]
RECORDS: list[Row] = [{"records": 661}]


def denial(dst: str, method: str, path: str) -> Row:
    return {
        "src_service_account": "recommendations",
        "src_spiffe_id_trust": "attested",
        "dst_service_account": dst,
        "http_request_method": method,
        "url_path": path,
        "http_response_status_code": 403,
    }


DENIED: list[Row] = [
    denial("customers", "GET", "/customers/export"),
    denial("checkout", "POST", "/checkout/1003"),
    denial("payments", "GET", "/admin/refunds"),
    {"url_path": "/admin", "http_response_status_code": 403},
]
SAME_ADDRESS: list[Row] = [
    {"kind": "connection", "time": 6, "decision": "unknown", "src_service_account": "checkout"},
    {
        "kind": "handshake",
        "time": 2,
        "decision": "unknown",
        "envoy_downstream_transport_failure": "TLS_error:PEER_DID_NOT_RETURN_A_CERTIFICATE",
    },
    {
        "time": 4,
        "decision": "allowed",
        "src_service_account": "checkout",
        "url_path": "/customers/export",
    },
    {
        "time": 1,
        "decision": "denied",
        "src_service_account": "recommendations",
        "url_path": "/customers/export",
    },
]
IDENTITIES: list[Row] = [
    {"identity": "checkout", "address": "127.0.1.13", "requests": 38, "ja3": "c2ab e03f"},
    {"identity": "checkout", "address": "127.0.1.16", "requests": 2, "ja3": "8a9d"},
    {"identity": "frontend", "address": "127.0.1.11", "requests": 153, "ja3": "c2ab"},
    {"identity": "recommendations", "address": "127.0.1.16", "requests": 75, "ja3": "c2ab"},
]
READ: list[Row] = [
    {
        "url_path": read.path,
        "http_response_status_code": read.status,
        "http_response_body_size": read.body_bytes,
    }
    for read in reversed(STORY.breach.reads)
]
REPORTS: list[Row] = [{"side": "destination", "reporter_cluster": "customers.shop"}]


def call(caller: str, callee: str, path: str, caused: list[Row], *, is_whole: bool = True) -> Row:
    end = {"url_path": path}
    source = end if is_whole else None
    ids = [name if name[0].isdigit() else f"spiffe://x/sa/{name}" for name in (caller, callee)]
    return {
        "caller": ids[0],
        "callee": ids[1],
        "source": source,
        "destination": end,
        "caused": caused,
    }


def make_trace() -> list[Row]:
    to_customers = call("checkout", "customers", "/customers/1001", [])
    to_payments = call("checkout", "payments", "/charges/1001", [])
    to_checkout = call("frontend", "checkout", "/checkout/1001", [to_customers, to_payments])
    order = call("127.0.1.101", "127.0.1.11", "/orders/1001", [], is_whole=False)
    return [{"calls": [order, to_checkout]}]


CASES: dict[str, tuple[Step, dict[str, list[Row]]]] = {
    "status": (steps.step_status, {"meshtrail status": STATUS, "AS records": RECORDS}),
    "denied": (steps.step_denied, {"decision:denied": DENIED}),
    "same address": (steps.step_same_address, {"src.ip:127.0.1.16": SAME_ADDRESS}),
    "identities": (steps.step_identities, {"AS identity": IDENTITIES}),
    "read": (
        steps.step_what_was_read,
        {"src.sa:checkout": READ, "path:/customers/export": REPORTS},
    ),
    "trace": (steps.step_trace, {f"trace {STORY.order.trace_id}": make_trace()}),
}
DOCTORED: list[tuple[str, str, Callable[[list[Row]], Any]]] = [
    ("status", "meshtrail status", lambda rows: rows[0].update(sealer="not running")),
    ("status", "AS records", lambda rows: rows[0].update(records=660)),
    ("denied", "decision:denied", lambda rows: rows.pop(1)),
    ("denied", "decision:denied", lambda rows: rows[0].update(http_response_status_code=404)),
    ("denied", "decision:denied", lambda rows: rows[0].update(src_spiffe_id_trust="reported")),
    ("denied", "decision:denied", lambda rows: rows[0].update(src_service_account="catalog")),
    ("same address", "src.ip:127.0.1.16", lambda rows: rows.pop(1)),
    ("same address", "src.ip:127.0.1.16", lambda rows: rows[2].update(decision="denied")),
    ("same address", "src.ip:127.0.1.16", lambda rows: rows[2].update(time=0)),
    ("identities", "AS identity", lambda rows: rows.pop(1)),
    ("identities", "AS identity", lambda rows: rows[1].update(address="127.0.1.14")),
    ("identities", "AS identity", lambda rows: rows[1].update(ja3="8a9d c2ab")),
    ("identities", "AS identity", lambda rows: rows[2].update(address="127.0.1.12")),
    ("read", "src.sa:checkout", lambda rows: rows[0].update(http_response_body_size=31_139)),
    ("read", "src.sa:checkout", lambda rows: rows.pop()),
    ("read", "path:/customers/export", lambda rows: rows.append({**rows[0], "side": "source"})),
    ("trace", "trace", lambda rows: rows[0]["calls"].pop(0)),
    ("trace", "trace", lambda rows: rows[0]["calls"][1]["caused"].pop()),
    ("trace", "trace", lambda rows: rows[0]["calls"][1].update(source=None)),
    ("trace", "trace", lambda rows: rows[0]["calls"][1].update(destination=None)),
    ("trace", "trace", lambda rows: rows[0]["calls"][1].update(callee="spiffe://x/sa/catalog")),
]


@pytest.mark.parametrize("name", CASES)
def test_step_holds_for_what_really_happened(name: str) -> None:
    step, answers = CASES[name]
    tour, said = make_tour(shell_of(answers))
    step(tour, STORY)
    assert tour.claims_count >= 2
    assert tour.failures_count == 0, said.getvalue()


@pytest.mark.parametrize(("name", "query", "doctor"), DOCTORED)
def test_step_fails_when_the_record_says_anything_else(
    name: str, query: str, doctor: Callable[[list[Row]], Any]
) -> None:
    step, answers = copy.deepcopy(CASES[name])
    [rows] = [rows for known, rows in answers.items() if known.startswith(query)]
    doctor(rows)
    tour, _ = make_tour(shell_of(answers))
    step(tour, STORY)
    assert tour.failures_count >= 1


@pytest.mark.parametrize("name", CASES)
def test_step_fails_when_nothing_is_found(name: str) -> None:
    tour, _ = make_tour(FakeShell({}))
    CASES[name][0](tour, STORY)
    assert tour.failures_count >= 1


def test_records_that_were_dropped_fail_the_first_step() -> None:
    story = dataclasses.replace(
        STORY, settled=Settled(flushed_count=661, spans_count=300, dropped_count=1)
    )
    step, answers = CASES["status"]
    tour, _ = make_tour(shell_of(answers))
    step(tour, story)
    assert tour.failures_count == 1
