"""What a caller can do in a TLS handshake, and what must become of it in the log."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.e2e import failing_callers as callers
from tests.e2e.odd_certificates import Workshop
from tests.rig.recorder import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
ROGUE = "spiffe://cluster.local/ns/dev/sa/rogue"
FORGERY = "spiffe://x/]:TLS_error_end|268435612:SSL:x:HTTP_REQUEST:certificate_has_expired"
NEWEST = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True, slots=True)
class Certificates:
    """Certificates that callers show, and who signs the server's."""

    mesh: Workshop
    elsewhere: Workshop
    good: Path
    self_signed: Path
    of_another_ca: Path
    expired: Path
    not_yet_valid: Path
    of_somebody_else: Path
    forging: Path

    @classmethod
    def make(cls, directory: Path) -> Certificates:
        """One of each."""
        mesh = Workshop(directory / "mesh", name="mesh CA")
        elsewhere = Workshop(directory / "elsewhere", name="another CA")
        return cls(
            mesh=mesh,
            elsewhere=elsewhere,
            good=mesh.issue(FRONTEND),
            self_signed=mesh.issue(FRONTEND, is_self_signed=True),
            of_another_ca=elsewhere.issue(FRONTEND),
            expired=mesh.issue(FRONTEND, days=(-9, -1)),
            not_yet_valid=mesh.issue(FRONTEND, days=(1, 9)),
            of_somebody_else=mesh.issue(ROGUE),
            forging=mesh.issue(FORGERY),
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that a caller does, and what must become of it.

    Attributes:
        act: makes it happen at a port; returns the port that it came from.
        failure: ``tls_failure``.
        kind: of the row.
        caller: ``src_spiffe_id`` and its trust.
        is_hello_whole: whether the first message of the handshake came, which an inspector reads.
        server_name: SNI in it.
    """

    act: Callable[[int], int]
    failure: str | None
    kind: str = "handshake"
    caller: tuple[str | None, str | None] = (None, None)
    is_hello_whole: bool = True
    server_name: str | None = callers.SERVER_NAME


def make_causes(certificates: Certificates, version: str) -> dict[str, Cause]:
    """Everything that is tried at a listener whose newest TLS is ``version``."""
    newest, mesh = NEWEST[version], certificates.mesh
    context = partial(callers.client_context, newest=newest)
    good, asserted = context(certificates.good), (FRONTEND, "asserted")

    def showing(certificate: Path | None, failure: str, name: str | None = FRONTEND) -> Cause:
        act = partial(callers.speak, context=context(certificate))
        return Cause(act, failure, caller=(name, name and "asserted"))

    def plain(act: Callable[[int], int], failure: str = "plaintext") -> Cause:
        return Cause(act, failure, is_hello_whole=False)

    old = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1]
    distrusting = context(certificates.good, trusted=certificates.elsewhere.bundle)
    # OpenSSL sends this alert in the clear in TLS 1.3, too, where Envoy cannot read it.
    refused = "unknown_ca" if version == "1.2" else "other"
    alert = partial(callers.send_alert, context=context(certificates.good))
    causes = {
        "a good certificate": Cause(
            partial(callers.speak, context=good), None, "connection", (FRONTEND, "attested")
        ),
        "no certificate": showing(None, "no_peer_certificate", None),
        "self-signed": showing(certificates.self_signed, "unknown_ca"),
        "another CA": showing(certificates.of_another_ca, "unknown_ca"),
        "expired": showing(certificates.expired, "expired"),
        "not yet valid": showing(certificates.not_yet_valid, "verification_failed"),
        "somebody else's name": showing(certificates.of_somebody_else, "san_mismatch", ROGUE),
        "a name that forges": showing(certificates.forging, "san_mismatch", FORGERY),
        **{
            f"no newer than {one.name}": Cause(
                partial(
                    callers.speak, context=callers.client_context(certificates.good, newest=one)
                ),
                "version",
            )
            for one in old
        },
        "refuses the server's certificate": Cause(
            partial(callers.speak, context=distrusting), refused
        ),
        "HTTP in the clear": plain(callers.request_in_the_clear),
        "CONNECT in the clear": plain(partial(callers.send_bytes, payload=b"CONNECT a:1 HTTP/1.1")),
        "zeros": plain(partial(callers.send_bytes, payload=bytes(64))),
        "other bytes": plain(partial(callers.send_bytes, payload=b"EHLO somebody\r\n")),
        "a record of garbage": plain(
            partial(callers.send_bytes, payload=b"\x16\x03\x01\x00\x20" + b"\x99" * 32), "other"
        ),
        "hangs up in the middle": Cause(
            partial(callers.hang_up, context=good, is_reset=False), None, "connection"
        ),
        "resets in the middle": Cause(
            partial(callers.hang_up, context=good, is_reset=True), "other"
        ),
        "a certificate without its key": Cause(
            partial(callers.show_without_key, context=good), None, "connection", asserted
        ),
    }
    if version == "1.2":
        for name, number, failure in (
            ("bad_certificate", 42, "verification_failed"),
            ("certificate_expired", 45, "expired"),
            ("certificate_unknown", 46, "verification_failed"),
            ("unknown_ca", 48, "unknown_ca"),
            ("certificate_required", 116, "no_peer_certificate"),
            ("protocol_version", 70, "version"),
            ("handshake_failure", 40, "other"),
        ):
            causes[f"the alert {name}"] = Cause(partial(alert, alert=number), failure)
        named = context(certificates.good, trusted=mesh.bundle, is_name_checked=True)
        causes["misses its name in the certificate"] = Cause(
            partial(callers.speak, context=named), "verification_failed"
        )
        if callers.OPENSSL is not None:
            causes["openssl refuses the server's certificate"] = Cause(
                partial(
                    callers.refuse_with_openssl,
                    trusted=certificates.elsewhere.bundle,
                    certificate=certificates.good,
                    called_from=free_port(),
                ),
                "unknown_ca",
                server_name=None,
            )
    return causes
