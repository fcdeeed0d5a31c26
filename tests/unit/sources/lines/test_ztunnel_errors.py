from __future__ import annotations

import pytest

from meshtrail.sources.lines.ztunnel_errors import ErrorFacts, read_error

REJECTED = "connection closed due to policy rejection: "
HANDSHAKE = "tls error: tls handshake error: "


def custom(error: str) -> str:
    return f"{HANDSHAKE}Custom {{ kind: InvalidData, error: {error} }}"


@pytest.mark.parametrize(
    ("error", "name", "namespace", "kind"),
    [
        ("explicitly denied by: shop/deny", "deny", "shop", "AuthorizationPolicy"),
        (
            "explicitly denied by: istio-system/istio_converted_static_strict",
            "istio_converted_static_strict",
            "istio-system",
            "PeerAuthentication",
        ),
        (
            "explicitly denied by: shop/converted_peer_authentication_x",
            "converted_peer_authentication_x",
            "shop",
            "PeerAuthentication",
        ),
    ],
)
def test_an_explicit_denial_names_its_policy(
    error: str, name: str, namespace: str, kind: str
) -> None:
    assert read_error(REJECTED + error) == ErrorFacts(
        "denied", name, namespace, kind, reason="explicit deny", is_past_handshake=True
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (f"{REJECTED}allow policies exist, but none allowed", "no allow policy matched"),
        (f"{REJECTED}workload not found", "workload not found"),
        (f"{REJECTED}explicitly denied by: a/b c", "policy rejection"),
        (f"{REJECTED}", "policy rejection"),
        ("connection closed due to policy change", "policy change"),
        ("http status: 401 Unauthorized", "http status 401"),
        ("send: io error: http status: 401 Unauthorized", "http status 401"),
    ],
)
def test_any_other_denial_says_why_and_names_none(error: str, reason: str) -> None:
    assert read_error(error) == ErrorFacts("denied", reason=reason, is_past_handshake=True)


@pytest.mark.parametrize(
    "error",
    [
        "connection closed: peer certificate revoked by CRL",
        "receive: io error: peer certificate revoked by CRL",
    ],
)
def test_a_revoked_certificate_is_a_denial_and_a_failure_of_tls(error: str) -> None:
    assert read_error(error) == ErrorFacts(
        "denied",
        reason="certificate revoked",
        tls_failure="verification_failed",
        is_past_handshake=True,
    )


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (custom("InvalidCertificate(Expired)"), "expired"),
        (custom("InvalidCertificate(ExpiredContext { time: UnixTime(7) })"), "expired"),
        (custom("InvalidCertificate(UnknownIssuer)"), "unknown_ca"),
        (custom("InvalidCertificate(Revoked)"), "verification_failed"),
        (custom("InvalidCertificate(NotValidYet)"), "verification_failed"),
        (
            custom("InvalidCertificate(Other(OtherError(identity verification error: peer did"),
            "san_mismatch",
        ),
        (
            custom('InvalidCertificate(Other(OtherError(SanTrustDomainError("a", [])'),
            "san_mismatch",
        ),
        (custom("NoCertificatesPresented"), "no_peer_certificate"),
        (custom("InvalidMessage(InvalidContentType)"), "plaintext"),
        (custom("InvalidMessage(MissingData)"), "other"),
        (custom("AlertReceived(CertificateUnknown)"), "verification_failed"),
        (custom("AlertReceived(CertificateExpired)"), "expired"),
        (custom("AlertReceived(CertificateRequired)"), "no_peer_certificate"),
        (custom("AlertReceived(UnknownCA)"), "unknown_ca"),
        (custom("AlertReceived(ProtocolVersion)"), "version"),
        (custom("AlertReceived(InternalError)"), "other"),
        (custom("PeerIncompatible(SupportedVersionsExtensionRequired)"), "version"),
        ("tls handshake error: something new", "other"),
        ("io error: invalid peer certificate: UnknownIssuer", "unknown_ca"),
        ("io error: invalid peer certificate: certificate expired: at 7", "expired"),
        ("io error: received fatal alert: CertificateUnknown", "verification_failed"),
        ("io error: peer sent no certificates", "no_peer_certificate"),
        ("io error: tls handshake eof", "other"),
        ("tls error: identity verification error: peer did not present", "san_mismatch"),
    ],
)
def test_an_error_of_tls_has_its_class_and_decides_nothing(error: str, failure: str) -> None:
    assert read_error(error) == ErrorFacts(tls_failure=failure)


@pytest.mark.parametrize(
    "error",
    [
        None,
        "",
        "io error: broken pipe",
        "connection timed out, maybe a NetworkPolicy is blocking HBONE port 15008: x",
        "identity error: connection closed due to policy change",
        "x connection closed due to policy rejection: explicitly denied by: a/b",
        "failed to fetch information about local workload: tls handshake error: ",
    ],
)
def test_any_other_error_says_nothing_of_policy_or_tls(error: str | None) -> None:
    assert read_error(error) == ErrorFacts()


def test_an_answer_of_the_callee_proves_that_the_handshake_was_done() -> None:
    assert read_error("http status: 503 Service Unavailable") == ErrorFacts(is_past_handshake=True)
