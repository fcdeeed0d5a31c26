"""The first half of the tour: finding the breach in the record.

Each step shows the commands that a reader would type; its claims are held against the JSON of the
same commands, and against what the attacker really did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.demo.breach import CULPRIT, PROBES, STOLEN_FROM, VICTIM
from meshtrail.demo.settling import COUNT_RECORDS
from meshtrail.demo.workloads import CHECKOUT, CUSTOMERS, EXPORT_PATH, FRONTEND, PAYMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meshtrail.demo.story import Story
    from meshtrail.demo.tour import Row, Tour

DENIED: Final = "kind:request AND decision:denied"
_IDENTITIES: Final = """\
meshtrail search --sql "SELECT src_service_account AS identity, src_ip AS address,
    count(*) AS requests, string_agg(DISTINCT left(tls_client_ja3, 8), ' ') AS ja3
  FROM events WHERE kind = 'request' AND side = 'destination' AND src_spiffe_id IS NOT NULL
  GROUP BY ALL ORDER BY ALL\""""
_HOPS: Final = (
    (FRONTEND.name, CHECKOUT.name),
    (CHECKOUT.name, CUSTOMERS.name),
    (CHECKOUT.name, PAYMENTS.name),
)
"""The calls inside the mesh that an order makes."""


def stolen_requests(story: Story) -> str:
    """The query that finds what a certificate asked for where its owner does not run."""
    own_ip = story.ips[STOLEN_FROM.name]
    return f"kind:request AND src.sa:{STOLEN_FROM.name} AND NOT src.ip:{own_ip}"


def step_status(tour: Tour, story: Story) -> None:
    """What is recorded."""
    tour.step(
        "What is recorded?",
        "Every request, connection and failed handshake that the sidecars report is sealed, in a "
        "tree whose head is signed; so is what they count themselves.",
    )
    status = next(iter(tour.show_and_ask("meshtrail status")), {})
    records_count = tour.ask_one(COUNT_RECORDS).get("records", 0)
    sent_count = story.settled.flushed_count
    tour.begin_claims()
    tour.claim(
        f"all {sent_count:,} records that the sidecars sent are in the log",
        want=sent_count,
        got=min(records_count, sent_count),
    )
    tour.claim(
        "none was dropped on the way, by the sidecars' own count",
        want=0,
        got=story.settled.dropped_count,
    )
    tour.claim("it records on while we look", want="running", got=status.get("sealer"))


def step_denied(tour: Tour, story: Story) -> None:
    """Who was turned away."""
    tour.step(
        "Who was turned away?",
        "The sidecar that enforces a policy says what it decided, and by which policy. `attested` "
        "means: the caller's identity comes from a TLS handshake that this sidecar verified, and "
        "the sidecar proved its own to meshtrail.",
    )
    columns = "index,src.sa,src.ip,dst.sa,path,policy"
    rows = tour.find(DENIED, columns=columns)
    denied = [row for row in rows if row.get("src_service_account") == CULPRIT.name]
    tour.begin_claims()
    tour.claim(
        f"{len(PROBES)} requests of {CULPRIT.name} were denied, of a kind that it never makes",
        want=sorted((workload.name, method, path) for workload, method, path in PROBES),
        got=sorted(
            (row["dst_service_account"], row["http_request_method"], row["url_path"])
            for row in denied
        ),
    )
    tour.claim(
        "each was answered 403, as the attacker saw it too",
        want=[*story.breach.probe_statuses],
        got=[row["http_response_status_code"] for row in denied],
    )
    tour.claim(
        f"that it was {CULPRIT.name} is attested, not merely said",
        want={"attested"},
        got={row["src_spiffe_id_trust"] for row in denied},
    )


def step_same_address(tour: Tour, story: Story) -> None:
    """What else came from the address of the denied workload."""
    ip = story.culprit_ip
    tour.step(
        "What else came from there?",
        f"{CULPRIT.name} runs at {ip}. This is all that the sidecar of {VICTIM.name} has to say of "
        "that address, the last to arrive first.",
    )
    query = f"src.ip:{ip} AND reporter.spiffe:*/sa/{VICTIM.name} AND NOT kind:span"
    columns = "kind,src.sa,path,status,decision"
    rows = tour.find(query, columns=columns)
    exports = [row for row in rows if row.get("url_path") == EXPORT_PATH]
    tour.begin_claims()
    tour.claim(
        "a TLS handshake failed: the caller had no certificate to show",
        want=[story.breach.is_handshake_refused],
        got=["NOT_RETURN_A_CERTIFICATE" in _failure(row) for row in rows if _failure(row)],
    )
    tour.claim(
        f"{EXPORT_PATH}, denied to {CULPRIT.name}, was then given to {STOLEN_FROM.name}: same "
        "address, another identity",
        want=[(CULPRIT.name, "denied"), (STOLEN_FROM.name, "allowed")],
        got=[
            (row.get("src_service_account"), row["decision"])
            for row in sorted(exports, key=lambda row: int(row["time"]))
        ],
    )


def step_identities(tour: Tour, story: Story) -> None:
    """Whose certificate was used from where."""
    tour.step(
        "Whose certificate is used from where?",
        "A certificate proves whose it is, not who holds it; it belongs to one workload, at its "
        "addresses. Here is every identity that was proven to a sidecar, by address, with the "
        "fingerprints (JA3) of the TLS library that spoke.",
    )
    rows = tour.show_and_ask(_IDENTITIES)
    tour.begin_claims()
    own_ip, ip = story.ips[STOLEN_FROM.name], story.culprit_ip
    tour.claim(
        f"the certificate of {STOLEN_FROM.name} was used at its own address, {own_ip}, and at "
        f"{ip}, the address of {CULPRIT.name}",
        want=sorted([own_ip, ip]),
        got=_addresses_of(STOLEN_FROM.name, rows),
    )
    tour.claim(
        "every other certificate was used from one address only, its own",
        want={name: [story.ips[name]] for name in sorted(_others(rows))},
        got={name: _addresses_of(name, rows) for name in sorted(_others(rows))},
    )
    odd = [row for row in rows if (row["identity"], row["address"]) == (STOLEN_FROM.name, ip)]
    elsewhere = {ja3 for row in rows if row not in odd for ja3 in row["ja3"].split()}
    tour.claim(
        "and no sidecar spoke there: the TLS library is one that nobody else in the mesh has",
        want=[False],
        got=[bool(elsewhere.intersection(row["ja3"].split())) for row in odd],
    )


def step_what_was_read(tour: Tour, story: Story) -> None:
    """What the stolen identity got."""
    columns = "index,path,status,http_response_body_size,policy"
    tour.step(
        "What was read?", f"All that {STOLEN_FROM.name} got at an address that is not its own."
    )
    rows = tour.find(stolen_requests(story), columns=columns)
    tour.begin_claims()
    for read in story.breach.reads:
        tour.claim(
            f"{read.path}: {read.body_bytes:,} bytes, as many as the attacker received",
            want=[(read.status, read.body_bytes)],
            got=[
                (row["http_response_status_code"], row["http_response_body_size"])
                for row in rows
                if row["url_path"] == read.path
            ],
        )
    given = f"kind:request AND path:{EXPORT_PATH} AND status:200"
    reports = [
        (row["side"], row["reporter_cluster"]) for row in tour.ask(f"meshtrail search '{given}'")
    ]
    tour.claim(
        f"only {VICTIM.name} reports it: the sidecar of {STOLEN_FROM.name} never sent it",
        want=[("destination", f"{VICTIM.name}.shop")],
        got=reports,
    )


def step_trace(tour: Tour, story: Story) -> None:
    """An honest request, from end to end."""
    command = f"meshtrail trace {story.order.trace_id}"
    tour.step(
        "And what does an honest request look like?",
        "One customer's order, by its trace id: each call inside the mesh is told twice, by the "
        "sidecar that sent it and by the one that took it, and each tells it as a span, too.",
    )
    trace = next(iter(tour.show_and_ask(command)), {})
    calls = [*_all_calls(trace.get("calls", []))]
    whole = [call for call in calls if call["source"] and call["destination"]]
    tour.begin_claims()
    tour.claim(
        "frontend called checkout, checkout called customers and payments: both ends say so",
        want=sorted(_HOPS),
        got=sorted((_workload(call["caller"]), _workload(call["callee"])) for call in whole),
    )
    tour.claim(
        "and the customer's own request, of which only the entrance can tell",
        want=[story.order.path],
        got=[call["destination"]["url_path"] for call in calls if call["source"] is None],
    )


def _failure(row: Row) -> str:
    return str(row.get("envoy_downstream_transport_failure", ""))


def _addresses_of(identity: str, rows: list[Row]) -> list[str]:
    return sorted(row["address"] for row in rows if row["identity"] == identity)


def _others(rows: list[Row]) -> set[str]:
    return {row["identity"] for row in rows} - {STOLEN_FROM.name}


def _all_calls(calls: Iterable[Row]) -> Iterator[Row]:
    """The calls of a trace, each before those that it caused."""
    for call in calls:
        yield call
        yield from _all_calls(call["caused"])


def _workload(spiffe_id: str) -> str:
    return spiffe_id.rpartition("/")[2]
