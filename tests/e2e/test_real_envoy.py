"""Real Envoys record into a real log: what was sent is found, in full, with the right trust."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import staged_load
from tests.e2e.staged_load import COUNTS, Kind, Sent
from tests.rig import mesh as rig
from tests.rig.recorder import running_recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.mesh import Mesh
    from tests.rig.recorder import Recorder

Row = dict[str, Any]

FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
PAYMENTS = "spiffe://cluster.local/ns/shop/sa/payments"
LEDGER = "spiffe://cluster.local/ns/shop/sa/ledger"
ROGUE = "spiffe://cluster.local/ns/dev/sa/rogue"
FLUSH_S_MAX = 20.0
SEAL_S_MAX = 20.0
HTTP_COUNT = sum(COUNTS.values())
TCP_COUNT = staged_load.TCP_ALLOWED_COUNT + staged_load.TCP_DENIED_COUNT
GUARDED_COUNT = HTTP_COUNT - COUNTS[Kind.LEDGER]
DENIED_HTTP_COUNT = COUNTS[Kind.ADMIN] + COUNTS[Kind.ROGUE]
SECOND_LOAD_COUNT = 20


@dataclass(frozen=True, slots=True)
class Story:
    """A mesh that ran and ended, and the log of it."""

    recorder: Recorder
    load: list[Sent]
    later_load: list[Sent]
    between_ns: int
    statuses: Counter[int]
    inbound_connections_count: int

    def of_kind(self, kind: Kind) -> list[Sent]:
        """The requests of one kind."""
        return [sent for sent in self.load if sent.kind is kind]


@pytest.fixture(scope="module", params=["mtls", "none"])
def story(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Story]:
    is_mtls = request.param == "mtls"
    directory: Path = tmp_path_factory.mktemp(f"mesh-{request.param}")
    identities = rig.issue_identities(directory / "certificates")
    tls = (identities.authority, identities.collector) if is_mtls else None
    with running_recorder(directory, tls=tls) as recorder:
        running = rig.running_mesh(
            identities,
            directory=directory,
            collector_port=recorder.port,
            is_collector_mtls=is_mtls,
        )
        with running as mesh:
            story = tell(mesh, recorder, directory=directory)
        assert recorder.stop() == 0
        yield story


@pytest.fixture
def reporter_auth(request: pytest.FixtureRequest, story: Story) -> str:
    auth: str = request.node.callspec.params["story"]
    assert story.load
    return auth


@pytest.fixture
def certain(reporter_auth: str) -> str:
    """The trust of what a proxy says of its own TLS peers."""
    return "attested" if reporter_auth == "mtls" else "reported"


def tell(mesh: Mesh, recorder: Recorder, *, directory: Path) -> Story:
    """Send the first load, wait until it is sealed, send the later one, and end the mesh."""
    load = staged_load.make_load(seed=1)
    statuses = staged_load.send_http(load, mesh)
    echoed = staged_load.send_tcp(mesh)
    assert echoed.count(staged_load.TCP_PAYLOAD) == staged_load.TCP_ALLOWED_COUNT
    assert not any(staged_load.fail_handshakes(mesh, directory=directory))
    wait_until_sealed(mesh, recorder, http_count=HTTP_COUNT)
    between_ns = max(row["received_time"] for row in recorder.search("kind:request")) + 1
    later_load = staged_load.make_load(seed=2)[:SECOND_LOAD_COUNT]
    staged_load.send_http(later_load, mesh)
    wait_until_sealed(mesh, recorder, http_count=HTTP_COUNT + SECOND_LOAD_COUNT)
    # Connections are logged as they end: those between the sidecars end with the frontend's.
    inbound_count = mesh.payments.connections_accepted("inbound")
    mesh.frontend.stop()
    wait_until(
        lambda: len(recorder.search(log_query(rig.LISTENER_LOG))) == inbound_count,
        f"{inbound_count} connections of the inbound listener are sealed",
        seconds_max=SEAL_S_MAX,
    )
    assert mesh.payments.records_dropped() == 0
    return Story(recorder, load, later_load, between_ns, statuses, inbound_count)


def wait_until_sealed(mesh: Mesh, recorder: Recorder, *, http_count: int) -> None:
    """Wait until both sidecars have sent, and the log holds, a record of every request."""

    def is_flushed() -> bool:
        ends = (mesh.frontend, mesh.payments)
        return all(end.records_flushed() >= http_count + TCP_COUNT for end in ends)

    wait_until(is_flushed, "Envoy has flushed its access logs", seconds_max=FLUSH_S_MAX)
    wait_until(
        lambda: len(recorder.search("kind:request")) >= 2 * http_count,
        f"{2 * http_count} requests are sealed",
        seconds_max=SEAL_S_MAX,
    )
    wait_until(
        lambda: len(recorder.search(log_query(rig.TCP_LOG))) >= 2 * TCP_COUNT,
        f"{2 * TCP_COUNT} connections are sealed",
        seconds_max=SEAL_S_MAX,
    )


def log_query(log_name: str) -> str:
    return f"reporter_log_name:{log_name} AND source:envoy-als"


def values(rows: list[Row], name: str) -> set[Any]:
    return {row.get(name) for row in rows}


def at_destination(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["reporter_cluster"] == "payments.shop"]


def at_source(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["reporter_cluster"] == "frontend.shop"]


def test_counts_equal_the_load_at_both_ends(story: Story) -> None:
    rows = story.recorder.search("")
    counts = Counter(
        (row["reporter_cluster"], row["reporter_log_name"])
        for row in rows
        if row["kind"] in {"request", "connection", "handshake"}
    )
    everything = HTTP_COUNT + SECOND_LOAD_COUNT
    assert counts == {
        ("frontend.shop", rig.HTTP_LOG): everything,
        ("payments.shop", rig.HTTP_LOG): everything,
        ("frontend.shop", rig.TCP_LOG): TCP_COUNT,
        ("payments.shop", rig.TCP_LOG): TCP_COUNT,
        ("payments.shop", rig.LISTENER_LOG): story.inbound_connections_count,
    }
    assert "undecoded" not in values(rows, "kind")


def test_every_leaf_index_occurs_once_and_none_is_missing(story: Story) -> None:
    indexes = sorted(row["log_index"] for row in story.recorder.search(""))
    assert indexes == list(range(len(indexes)))


def test_each_stream_is_opened_and_closed_once_with_its_totals(story: Story) -> None:
    rows = story.recorder.search("")
    streams = Counter(row["stream"] for row in rows)
    for kind in ("stream_opened", "stream_closed"):
        of_kind = Counter(row["stream"] for row in rows if row["kind"] == kind)
        assert of_kind == dict.fromkeys(of_kind, 1), kind
        # The collector's own stream of clock and counter entries may still be open.
        assert len(of_kind) >= len(streams) - 1, kind


def test_verify_accepts_the_log_of_real_envoys(story: Story) -> None:
    assert story.recorder.verify("--deep")


def test_answers_have_the_statuses_that_each_end_recorded(story: Story) -> None:
    for status, count in story.statuses.items():
        query = f"status:{status} AND kind:request"
        rows = story.recorder.search(query, "--to", str(story.between_ns))
        assert len(at_source(rows)) == len(at_destination(rows)) == count, status


def test_requests_are_found_by_caller_with_the_trust_of_its_certificate(
    story: Story, certain: str
) -> None:
    rows = story.recorder.search(f"src.spiffe:{ROGUE} AND kind:request")
    assert len(rows) == COUNTS[Kind.ROGUE]
    assert values(rows, "src_spiffe_id_trust") == {certain}
    assert values(rows, "src_namespace") == {"dev"}
    assert values(rows, "src_service_account") == {"rogue"}
    assert values(rows, "dst_spiffe_id") == {PAYMENTS}
    assert values(rows, "dst_spiffe_id_trust") == {certain}


def test_requests_are_found_by_callee(story: Story) -> None:
    rows = story.recorder.search(
        f"dst.spiffe:{PAYMENTS} AND kind:request", "--to", str(story.between_ns)
    )
    assert len(at_destination(rows)) == GUARDED_COUNT


def test_identity_of_a_certificate_that_the_stream_does_not_own_is_only_reported(
    story: Story,
) -> None:
    rows = story.recorder.search(f"dst.spiffe:{LEDGER} AND kind:request")
    assert len(at_destination(rows)) == COUNTS[Kind.LEDGER]
    assert values(at_destination(rows), "dst_spiffe_id_trust") == {"reported"}
    assert values(at_destination(rows), "src_spiffe_id_trust") == {"reported"}


def test_reporters_are_known_by_their_stream_alone(story: Story, reporter_auth: str) -> None:
    rows = story.recorder.search("kind:request")
    assert values(rows, "reporter_auth") == {reporter_auth}
    is_mtls = reporter_auth == "mtls"
    assert values(at_source(rows), "reporter_spiffe_id") == {FRONTEND if is_mtls else None}
    assert values(at_destination(rows), "reporter_spiffe_id") == {PAYMENTS if is_mtls else None}


def test_path_finds_both_ends_of_a_request(story: Story) -> None:
    rows = story.recorder.search("path:/admin/keys/3")
    assert len(at_source(rows)) == len(at_destination(rows)) == 1


def test_path_prefix_finds_every_request_below_it(story: Story) -> None:
    rows = story.recorder.search("path:/admin/*")
    assert len(rows) == 2 * COUNTS[Kind.ADMIN]


def test_denials_are_found_and_carry_the_trust_of_who_enforced_them(
    story: Story, certain: str
) -> None:
    rows = story.recorder.search("decision:denied AND kind:request")
    assert len(rows) == DENIED_HTTP_COUNT
    assert values(rows, "reporter_cluster") == {"payments.shop"}
    assert values(rows, "decision_trust") == {certain}
    assert values(rows, "http_response_status_code") == {403}


def test_denial_names_the_policy_namespace_and_rule_that_matched(story: Story) -> None:
    rows = story.recorder.search("policy:payments-no-admin")
    assert len(rows) == COUNTS[Kind.ADMIN]
    assert values(rows, "decision") == {"denied"}
    assert values(rows, "policy_namespace") == {"shop"}
    assert values(rows, "policy_rule") == {"1"}


def test_denial_because_nothing_allowed_it_names_no_policy(story: Story) -> None:
    rows = story.recorder.search(f"src.spiffe:{ROGUE} AND kind:request")
    assert values(rows, "decision") == {"denied"}
    assert values(rows, "policy_name") == {None}


def test_allowed_requests_name_the_policy_that_allowed_them(story: Story, certain: str) -> None:
    rows = story.recorder.search("policy:payments-allow", "--to", str(story.between_ns))
    assert len(rows) == GUARDED_COUNT - DENIED_HTTP_COUNT
    assert values(rows, "decision") == {"allowed"}
    assert values(rows, "decision_trust") == {certain}
    assert values(rows, "policy_rule") == {"0"}


def test_missing_decision_is_unknown(story: Story) -> None:
    rows = story.recorder.search("kind:request")
    unguarded = [row for row in at_destination(rows) if row["dst_spiffe_id"] == LEDGER]
    assert values(unguarded + at_source(rows), "decision") == {"unknown"}
    assert values(unguarded + at_source(rows), "decision_trust") == {None}


def test_dry_run_says_what_a_stricter_policy_would_have_decided(story: Story) -> None:
    rows = at_destination(story.recorder.search("path:/api/created/*"))
    assert values(rows, "dry_run_decision") == {"denied"}
    assert values(rows, "decision") == {"allowed"}


def test_trace_id_finds_both_ends_and_is_only_asserted(story: Story) -> None:
    for kind in (Kind.READ, Kind.B3_SINGLE, Kind.B3_MULTI):
        sent = story.of_kind(kind)[0]
        rows = story.recorder.search(f"trace:{sent.trace_id}")
        assert len(rows) == 2, kind
        assert values(rows, "trace_id") == {sent.trace_id}
        assert values(rows, "span_id") == {sent.span_id}
        assert values(rows, "trace_id_trust") == {"asserted"}
        assert values(rows, "request_id") == {sent.request_id}


def test_request_id_finds_both_ends_and_is_only_asserted(story: Story) -> None:
    sent = story.of_kind(Kind.ADMIN)[0]
    rows = story.recorder.search(f"request:{sent.request_id}")
    assert len(at_source(rows)) == len(at_destination(rows)) == 1
    assert values(rows, "request_id_trust") == {"asserted"}


def test_request_without_trace_headers_has_no_trace_id(story: Story) -> None:
    rows = story.recorder.search("path:/api/anonymous/*")
    assert len(rows) == 2 * COUNTS[Kind.NO_IDS]
    assert values(rows, "trace_id") == {None}


def test_every_request_is_recorded_as_it_was_sent(story: Story) -> None:
    rows = {row["request_id"]: row for row in at_destination(story.recorder.search("kind:request"))}
    for sent in story.load:
        if not sent.request_id:
            continue
        row = rows[sent.request_id]
        path, _, query = sent.request.path.partition("?")
        assert row["http_request_method"] == sent.request.method
        assert row["url_path"] == path
        assert (row.get("url_query") or "") == query
        assert row["http_response_status_code"] == sent.status
        assert row["server_address"] == sent.request.host
        assert row["user_agent_original"] == staged_load.USER_AGENT
        assert row["http_request_body_size"] == len(sent.request.body)


def test_rpcs_are_found_by_method_with_their_status(story: Story) -> None:
    rows = story.recorder.search("rpc:shop.v1.Payments/Charge")
    assert len(rows) == 2 * COUNTS[Kind.RPC]


def test_from_and_to_divide_the_log_by_the_time_of_arrival(story: Story) -> None:
    moment = str(story.between_ns)
    before = story.recorder.search("kind:request", "--to", moment)
    after = story.recorder.search("kind:request", "--from", moment)
    assert len(before) == 2 * HTTP_COUNT
    later_ids = {sent.request_id for sent in story.later_load}
    assert Counter(row["request_id"] for row in after) == dict.fromkeys(later_ids, 2)


def test_times_lie_within_the_happening_and_arrival_is_never_before(story: Story) -> None:
    for row in story.recorder.search("kind:request"):
        assert row["time"] <= row["end_time"]
        assert row["end_time"] - row["time"] == row["duration"]
        assert row["end_time"] <= row["received_time"]


def test_tcp_connections_are_recorded_by_both_ends_with_their_bytes(story: Story) -> None:
    rows = story.recorder.search(f"kind:connection AND {log_query(rig.TCP_LOG)}")
    for end in (at_source(rows), at_destination(rows)):
        assert len(end) == TCP_COUNT
        assert values(end, "bytes_received") == {len(staged_load.TCP_PAYLOAD)}


def test_denied_tcp_connections_are_found_by_caller_and_decision(
    story: Story, certain: str
) -> None:
    rows = story.recorder.search(f"decision:denied AND kind:connection AND src.spiffe:{ROGUE}")
    assert len(rows) == staged_load.TCP_DENIED_COUNT
    assert values(rows, "src_spiffe_id_trust") == {certain}
    assert values(rows, "decision_trust") == {certain}


def test_tcp_connection_that_was_let_through_has_no_known_decision(story: Story) -> None:
    found = story.recorder.search(f"src.spiffe:{FRONTEND} AND {log_query(rig.TCP_LOG)}")
    rows = at_destination(found)
    assert len(rows) == staged_load.TCP_ALLOWED_COUNT
    assert values(rows, "decision") == {"unknown"}


def test_failed_handshakes_are_found_with_their_reason(story: Story) -> None:
    rows = story.recorder.search("kind:handshake")
    assert len(rows) == staged_load.HANDSHAKES_FAILED_COUNT
    reasons = Counter(
        next(name for name in REASONS if name in row["envoy_downstream_transport_failure"])
        for row in rows
    )
    assert reasons == REASONS


REASONS = {
    "HTTP_REQUEST": staged_load.PLAINTEXT_COUNT,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": staged_load.NO_CERTIFICATE_COUNT,
    "CERTIFICATE_VERIFY_FAILED": staged_load.FOREIGN_AUTHORITY_COUNT,
}


def test_identity_of_a_certificate_that_failed_verification_is_only_asserted(
    story: Story,
) -> None:
    # Envoy logs the SAN of a certificate that it has just refused: anyone can write one.
    rows = story.recorder.search(f"kind:handshake AND src.spiffe:{FRONTEND}")
    assert len(rows) == staged_load.FOREIGN_AUTHORITY_COUNT
    assert values(rows, "src_spiffe_id_trust") == {"asserted"}
