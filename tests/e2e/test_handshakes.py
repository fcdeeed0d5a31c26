"""Handshakes that really fail against a real Envoy: which class, which kind, whom they name."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from meshtrail.demo.authority import Authority
from tests.e2e import failing_callers as callers
from tests.e2e import wired_proxy as wired
from tests.e2e.handshake_causes import FRONTEND, Certificates, make_causes
from tests.rig.envoy import Envoy
from tests.rig.recorder import free_port, running_recorder, wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.odd_certificates import Workshop
    from tests.e2e.wired_proxy import Config
    from tests.rig.recorder import Recorder

Row = dict[str, Any]

SEAL_S_MAX = 60.0
LOOPBACK = "127.0.0.1"
LISTENER_LOG = "listener_envoy_accesslog"
VERSIONS = {"1.2": "TLSv1_2", "1.3": "TLSv1_3"}
LISTENERS = [f"{version}-{kind}" for version in VERSIONS for kind in ("inspected", "not-inspected")]
GREETING = b"220 ledger\r\n"


def downstream_tls(server: Path, mesh: Workshop, *, newest: str) -> Config:
    """TLS that takes only the frontend, by its certificate and the name in it."""
    name = {"san_type": "URI", "matcher": {"exact": FRONTEND}}
    pair = {
        "certificate_chain": {"filename": str(server)},
        "private_key": {"filename": str(server)},
    }
    return wired.typed(
        "envoy.transport_sockets.tls",
        "transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        common_tls_context={
            "tls_params": {"tls_maximum_protocol_version": newest},
            "tls_certificates": [pair],
            "validation_context": {
                "trusted_ca": {"filename": str(mesh.bundle)},
                "match_typed_subject_alt_names": [name],
            },
        },
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was recorded: rows by the port that was called, and the one it was called from."""

    ports: dict[str, int]
    called_from: dict[tuple[str, str], int]
    rows: list[Row]
    recorder: Recorder

    def row(self, listener: str, cause: str) -> Row:
        """The one row of an act, as the listener's log has it."""
        called_from, port = self.called_from[listener, cause], self.ports[listener]
        [row] = [
            row
            for row in self.rows
            if row["reporter_log_name"] == LISTENER_LOG and row["src_port"] == called_from
            # At the source the port that was called stands nowhere: the upstream's does.
            if row["dst_port"] == port or row.get("side") == "source"
        ]
        return row


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


def make_acts(certificates: Certificates) -> dict[tuple[str, str], Callable[[int], int]]:
    """What is done at which listener."""
    acts = {
        (listener, name): cause.act
        for listener in LISTENERS
        for name, cause in make_causes(certificates, listener[:3]).items()
    }
    in_the_clear = partial(callers.send_bytes, payload=b"EHLO somebody\r\n")
    acts["clear", "plaintext"] = in_the_clear
    acts["strict", "plaintext"] = in_the_clear
    return acts


def shows_nothing_after_the_greeting(envoy: Envoy) -> int:
    """Have no certificate, once the proxy has heard the upstream's greeting."""
    counter = "cluster.first.upstream_cx_rx_bytes_total"

    def wait() -> None:
        wait_until(
            lambda: envoy.counters(counter)[counter] >= len(GREETING),
            "the upstream has spoken",
            seconds_max=SEAL_S_MAX,
        )

    port = envoy.ports()["speaks-first"]
    return callers.answer_late(port, context=callers.client_context(None), wait=wait)


def listeners(pieces: Config, server: Path, mesh: Workshop) -> list[Config]:
    """One for each version of TLS, with and without an inspector; and three odd ones."""
    inspected = {**pieces["listener"], **pieces["tls_listener"]}

    def proxy(cluster: str) -> list[Config]:
        return wired.tcp_proxy(added=pieces["tcp_proxy"], cluster=cluster)

    made = []
    for name in LISTENERS:
        version, _, kind = name.partition("-")
        added = inspected if kind == "inspected" else pieces["listener"]
        tls = downstream_tls(server, mesh, newest=VERSIONS[version])
        made.append(wired.listener(name, proxy("inbound|9000||"), added=added, tls=tls))
    newest = downstream_tls(server, mesh, newest="TLSv1_3")
    strict = wired.listener("strict", proxy("inbound|9000||"), added=inspected, tls=newest)
    # As Istio's STRICT mode has it: what speaks no TLS finds no filter chain.
    strict["filter_chains"][0]["filter_chain_match"] = {"transport_protocol": "tls"}
    first = wired.listener("speaks-first", proxy("first"), added=pieces["listener"], tls=newest)
    return [*made, strict, first, wired.listener("clear", proxy("nobody"), added=inspected)]


def greet(connection: socket.socket) -> None:
    """Speak first, as mail and database servers do."""
    connection.sendall(GREETING)
    callers.drain(connection)


@pytest.fixture(scope="module")
def outcome(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcome]:
    """Each act at its listener; sealed."""
    directory = tmp_path_factory.mktemp("handshakes")
    authority = Authority(directory / "authority")
    collector = authority.issue("ns/meshtrail/sa/meshtrail")
    payments = authority.issue("ns/shop/sa/payments")
    server = certificates.mesh.issue(payments.spiffe_id)
    with contextlib.ExitStack() as stack:
        recorder = stack.enter_context(running_recorder(directory, tls=(authority, collector)))
        echo_port = stack.enter_context(wired.running_echo_upstream())
        first_port = stack.enter_context(wired.running_upstream(greet))
        files = ["--cert", str(payments.chain), "--key", str(payments.key)]
        files += ["--ca", str(authority.bundle), "--collector-spiffe-id", collector.spiffe_id]
        [pieces] = wired.emit("envoy", "--address", f"{LOOPBACK}:{recorder.port}", *files)
        config = wired.bootstrap(
            listeners=listeners(pieces, server, certificates.mesh),
            clusters=[
                *pieces["clusters"],
                wired.cluster("inbound|9000||", echo_port),
                wired.cluster("first", first_port),
                wired.cluster("nobody", free_port()),
            ],
        )
        envoy = stack.enter_context(Envoy("failing", config, directory=directory))
        ports = envoy.ports()
        called_from = {key: act(ports[key[0]]) for key, act in make_acts(certificates).items()}
        called_from["speaks-first", "no certificate"] = shows_nothing_after_the_greeting(envoy)
        query = f"reporter_log_name:{LISTENER_LOG} AND source:envoy-als"
        wait_until(
            lambda: len(recorder.search(query)) >= len(called_from),
            f"{len(called_from)} connections are sealed",
            seconds_max=SEAL_S_MAX,
        )
        yield Outcome(ports, called_from, recorder.search("source:envoy-als"), recorder)


def test_every_act_has_the_class_kind_and_caller_that_it_means(
    outcome: Outcome, certificates: Certificates
) -> None:
    seen, wanted = {}, {}
    for listener in LISTENERS:
        for name, cause in make_causes(certificates, listener[:3]).items():
            row = outcome.row(listener, name)
            caller = (row.get("src_spiffe_id"), row.get("src_spiffe_id_trust"))
            seen[listener, name] = (row.get("tls_failure"), row["kind"], caller)
            wanted[listener, name] = (cause.failure, cause.kind, cause.caller)
    assert seen == wanted


def test_failed_handshake_names_the_server_that_was_asked_for(
    outcome: Outcome, certificates: Certificates
) -> None:
    for listener in LISTENERS:
        is_inspected = not listener.endswith("not-inspected")
        for name, cause in make_causes(certificates, listener[:3]).items():
            row = outcome.row(listener, name)
            # Only an inspector reads the SNI, and it takes the fingerprint.
            told = is_inspected and cause.is_hello_whole
            wanted = (cause.server_name if told else None, told)
            assert (row.get("tls_server_name"), "tls_client_ja3" in row) == wanted, name


def test_failed_handshake_keeps_the_hash_of_the_certificate_that_was_shown(
    outcome: Outcome, certificates: Certificates
) -> None:
    pem = certificates.of_another_ca.read_bytes()
    shown = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    for listener in LISTENERS:
        row = outcome.row(listener, "another CA")
        assert row["tls_client_hash_sha256"] == hashlib.sha256(shown).hexdigest()
        assert "tls_client_hash_sha256" not in outcome.row(listener, "no certificate")


def test_failed_handshakes_are_rows_of_their_own_and_counted_once(outcome: Outcome) -> None:
    handshakes = [row for row in outcome.rows if row["kind"] == "handshake"]
    assert {row["reporter_log_name"] for row in handshakes} == {LISTENER_LOG}
    ends = [(row["src_port"], row["dst_port"]) for row in handshakes]
    assert len(set(ends)) == len(ends)
    numbers = [
        row["envoy_connection_id"] for row in handshakes if row["dst_port"] != strict(outcome)
    ]
    assert len(set(numbers)) == len(numbers)


def strict(outcome: Outcome) -> int:
    """The port whose callers in the clear never become connections, so that they have no number."""
    return outcome.ports["strict"]


def test_plaintext_that_no_filter_chain_takes_is_a_failed_handshake(outcome: Outcome) -> None:
    row = outcome.row("strict", "plaintext")
    assert (row["kind"], row["tls_failure"]) == ("handshake", "plaintext")
    assert "NR" in row["envoy_response_flags"].split(",")
    assert "envoy_connection_id" not in row


def test_plaintext_is_no_failed_handshake_where_no_tls_is_ended(outcome: Outcome) -> None:
    # Nothing came in: the proxy reads nothing until it has reached the upstream, which it cannot.
    row = outcome.row("clear", "plaintext")
    assert (row["kind"], row["tls_failure"]) == ("connection", "plaintext")
    assert row["bytes_received"] == 0
    assert "UF" in row["envoy_response_flags"].split(",")


def test_bytes_that_an_upstream_sends_at_once_hide_no_failed_handshake(outcome: Outcome) -> None:
    row = outcome.row("speaks-first", "no certificate")
    assert (row["kind"], row["tls_failure"]) == ("handshake", "no_peer_certificate")
    assert row["bytes_sent"] == len(GREETING)


def test_certificate_without_its_key_attests_nobody(outcome: Outcome) -> None:
    for listener in LISTENERS:
        rows = [
            row
            for row in outcome.rows
            if row.get("src_port") == outcome.called_from[listener, "a certificate without its key"]
        ]
        assert {row.get("src_spiffe_id_trust") for row in rows} <= {None, "asserted"}
        assert FRONTEND in {row.get("src_spiffe_id") for row in rows}


def test_reference_derives_every_row_alike(outcome: Outcome) -> None:
    assert outcome.recorder.verify("--deep")
