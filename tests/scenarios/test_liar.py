"""An authenticated liar copies request ids: over real connections, from the door to the ledger."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import grpc
import pyarrow.dataset as ds
import pytest
from envoy.service.accesslog.v3 import als_pb2

from meshtrail.app.ledger_keeper import WRITER, LedgerKeeper
from meshtrail.collect import CollectOptions
from meshtrail.demo.authority import Authority
from tests.als_messages import als_message
from tests.als_records import address, certificate, http_bytes, inbound, outbound
from tests.collect_rig import connected, running_collector, send_all
from tests.fake_clock import START_NS
from tests.log_rig import MINUTE, ORIGIN, SIGNER, LogRig

CALLS = 40
WEB, PAY, LIAR = "10.0.0.5", "10.0.0.7", "10.0.0.66"
SERVICE_ACCOUNTS = "spiffe://cluster.local/ns/shop/sa/"
COLUMNS = [
    "log_index",
    "kind",
    "source",
    "detail",
    "reporter_spiffe_id",
    "reporter_conflict",
    "dst_spiffe_id_trust",
]
STARTED = datetime.fromtimestamp(START_NS / 10**9, UTC).isoformat()


def node_id(name: str, ip: str) -> str:
    return f"sidecar~{ip}~{name}-0.shop~shop.svc.cluster.local"


def of_call(at: int, record: dict[str, Any]) -> bytes:
    """A record of one of the calls, which all began when the collector did."""
    record["request"]["requestId"] = f"00000000-0000-4000-8000-{at:012x}"
    record["commonProperties"] |= {"startTime": STARTED, "duration": "1s"}
    return http_bytes(record)


def of_caller(at: int, client: str, server: str = PAY) -> bytes:
    return of_call(
        at,
        outbound(
            upstreamLocalAddress=address(client, 40_000 + at),
            upstreamRemoteAddress=address(server, 8080),
            downstreamDirectRemoteAddress=address(client, 50_000 + at),
        ),
    )


def of_callee(at: int, client: str, server: str, *, names: tuple[str, str]) -> bytes:
    """What a callee's proxy says; and, in its certificates, who called whom."""
    record = inbound(
        downstreamDirectRemoteAddress=address(client, 40_000 + at),
        downstreamLocalAddress=address(server, 8080),
    )
    peer, own = (certificate(f"{SERVICE_ACCOUNTS}{name}") for name in names)
    tls = record["commonProperties"]["tlsProperties"]
    tls |= {"peerCertificateProperties": peer, "localCertificateProperties": own}
    return of_call(at, record)


HONEST = ("web", "pay")
SENT: dict[str, tuple[str, list[bytes]]] = {
    # First, so that every copied id is there before the true one.
    "liar": (
        # In the name of pay, and with its addresses in what it says of itself.
        node_id("pay", PAY),
        [
            *(of_callee(at, "10.6.6.6", PAY, names=HONEST) for at in range(CALLS)),
            *(of_callee(at, WEB, LIAR, names=("web", "liar")) for at in range(CALLS)),
            *(of_caller(at, LIAR) for at in range(CALLS)),
        ],
    ),
    "web": (node_id("web", WEB), [of_caller(at, WEB) for at in range(CALLS)]),
    "pay": (
        node_id("pay", PAY),
        [of_callee(at, WEB, PAY, names=HONEST) for at in range(CALLS)],
    ),
}


async def send(address: str, authority: Authority, name: str) -> None:
    """What one of them sends, with a certificate of the mesh, on a connection of its own."""
    identity = authority.issue(f"ns/shop/sa/{name}")
    credentials = grpc.ssl_channel_credentials(
        authority.bundle.read_bytes(), identity.key.read_bytes(), identity.chain.read_bytes()
    )
    node, records = SENT[name]
    claims = als_pb2.StreamAccessLogsMessage.Identifier(log_name="out")
    claims.node.id = node
    async with connected(address, credentials=credentials) as channel:
        await send_all(channel, als_message(claims=claims.SerializeToString(), http=records))


async def record(rig: LogRig, authority: Authority) -> None:
    """Record what they send, and let the ledger tell of it while the collector runs."""
    server = authority.issue("ns/mesh/sa/collector", is_named_localhost=True)
    options = CollectOptions(
        grpc="127.0.0.1:0",
        otlp_http="off",
        tls_cert=server.chain,
        tls_key=server.key,
        tls_client_ca=authority.bundle,
    )
    directory = rig.layout.journals / "collect"
    async with running_collector(directory, options=options, clock=rig.clock) as collector:
        for name in SENT:
            await send(collector.address, authority, name)
        await collector.closed(len(SENT))
        keep_ledger(rig)
        await collector.finish()


def keep_ledger(rig: LogRig) -> None:
    """Seal what came in, and what the ledger says of it within some minutes."""
    keeper = LedgerKeeper(
        rig.layout,
        SIGNER.verifier,
        origin=ORIGIN,
        journal=rig.open_writer(WRITER),
        clock=rig.clock,
        version="1",
    )
    for _ in range(4):
        rig.seal()
        keeper.look()
        rig.clock.advance(MINUTE)
    rig.seal()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The events of the sealed log."""
    folder = tmp_path_factory.mktemp("liar")
    rig = LogRig(folder)
    asyncio.run(record(rig, Authority(folder / "mesh")))
    rig.close()
    segments = sorted(map(str, rig.layout.segments.glob("*.parquet")))
    table = ds.dataset(segments).to_table(columns=COLUMNS).sort_by("log_index")
    return list(table.to_pylist())


def details(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """What the ledger says in entries of a kind."""
    own = [row for row in rows if (row["source"], row["kind"]) == ("meshtrail", kind)]
    return [told for row in own if "step_ns" in (told := json.loads(row["detail"] or "{}"))]


def test_true_pairs_stay_paired_and_the_liar_has_none(rows: list[dict[str, Any]]) -> None:
    minutes = {told["reporter"]["spiffe_id"]: told for told in details(rows, "counter")}
    figures = ("received", "expected", "paired", "missing_min")
    assert {
        name.rpartition("/")[2]: tuple(told[figure] for figure in figures)
        for name, told in minutes.items()
    } == {
        "web": (CALLS, CALLS, CALLS, 0),
        "pay": (CALLS, CALLS, CALLS, 0),
        "liar": (3 * CALLS, 3 * CALLS, 0, 0),
    }


def test_what_is_told_as_unpaired_rests_on_the_liars_entries_alone(
    rows: list[dict[str, Any]],
) -> None:
    findings = details(rows, "finding")
    assert {told["cause"] for told in findings} == {"unpaired"}
    assert sum(told["records"] for told in findings) == 3 * CALLS
    told_by = {rows[at]["reporter_spiffe_id"] for told in findings for at in told["entries"]}
    assert told_by == {f"{SERVICE_ACCOUNTS}liar"}


def test_records_in_the_name_of_another_are_sealed_and_flagged_row_by_row(
    rows: list[dict[str, Any]],
) -> None:
    flags = Counter(
        (row["reporter_spiffe_id"], row["reporter_conflict"])
        for row in rows
        if row["kind"] == "request"
    )
    web, pay, liar = (f"{SERVICE_ACCOUNTS}{name}" for name in ("web", "pay", "liar"))
    assert flags == {
        (web, None): CALLS,
        (pay, None): CALLS,
        (liar, None): 2 * CALLS,
        (liar, f'record of "{pay}", sent by "{liar}"'): CALLS,
    }
    forged = [row for row in rows if row["reporter_conflict"]]
    assert {row["dst_spiffe_id_trust"] for row in forged} == {"reported"}
