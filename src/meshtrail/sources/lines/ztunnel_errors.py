"""What ztunnel says of a connection that ended otherwise than it should have.

Plain functions of one distinct value, shared by the columnar mapper and its row-wise reference.
Nothing is searched for: an error is read from the left, since behind its first words can stand the
peer's own, such as the names in a certificate that was refused.

Source: ztunnel's ``proxy::Error`` and ``TlsError``, rustls' ``Error``; docs/sources/ztunnel.md.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from meshtrail.model.event import Decision, TlsFailure
from meshtrail.sources.envoy_values import remember

_WRAPPERS: Final = re.compile(r"(?:(?:while closing connection|receive|send|io error): )*")
_REJECTED: Final = "connection closed due to policy rejection: "
_DENIED_BY: Final = re.compile(r"explicitly denied by: ([^/ ]+)/([^/ ]+)")
_CONVERTED: Final = re.compile(r"istio_converted_static_|converted_peer_authentication_")
"""What istiod calls a policy that it has made of a PeerAuthentication."""
_REVOKED: Final = re.compile(r"(?:connection closed: )?peer certificate revoked by CRL")
_REASONS: Final = {
    f"{_REJECTED}allow policies exist, but none allowed": "no allow policy matched",
    f"{_REJECTED}workload not found": "workload not found",
    f"{_REJECTED}workload mismatch": "workload mismatch",
    "connection closed due to policy change": "policy change",
    "http status: 401 Unauthorized": "http status 401",
}

_TLS: Final = re.compile(
    r"(?:tls error: )?(?:tls handshake error: )?(?:Custom \{ kind: [A-Za-z]+, error: )?"
)
_TLS_STARTS: Final = ("tls error: ", "tls handshake error: ")
_CERTIFICATE: Final = r"(?:InvalidCertificate\(|invalid peer certificate: )"
_ALERT: Final = r"(?:AlertReceived\(|received fatal alert: )"
_OTHER_NAME: Final = (
    r"(?:Other\(OtherError\((?:identity verification error|San)|NotValidForName"
    r"|certificate not valid for name)"
)
_INCOMPATIBLE: Final = r"(?:PeerIncompatible\(|peer is incompatible: )"
_CORRUPT: Final = r"(?:InvalidMessage\(|received corrupt message of type )"
_CLASSES: Final = tuple(
    (re.compile(pattern), failure)
    for pattern, failure in (
        (rf"{_CERTIFICATE}(?:Expired|certificate expired)", TlsFailure.EXPIRED),
        (rf"{_CERTIFICATE}UnknownIssuer", TlsFailure.UNKNOWN_CA),
        (rf"{_CERTIFICATE}{_OTHER_NAME}", TlsFailure.SAN_MISMATCH),
        (_CERTIFICATE, TlsFailure.VERIFICATION_FAILED),
        (r"identity verification error: ", TlsFailure.SAN_MISMATCH),
        (r"NoCertificatesPresented|peer sent no certificates", TlsFailure.NO_PEER_CERTIFICATE),
        (rf"{_CORRUPT}InvalidContentType", TlsFailure.PLAINTEXT),
        (rf"{_ALERT}(?:CertificateRequired|NoCertificate)", TlsFailure.NO_PEER_CERTIFICATE),
        (rf"{_ALERT}CertificateExpired", TlsFailure.EXPIRED),
        (rf"{_ALERT}Unknown_?CA", TlsFailure.UNKNOWN_CA),
        (rf"{_ALERT}ProtocolVersion", TlsFailure.VERSION),
        (rf"{_ALERT}(?:Bad|Unsupported)?Certificate", TlsFailure.VERIFICATION_FAILED),
        (_ALERT, TlsFailure.OTHER),
        (rf"{_INCOMPATIBLE}(?:Tls1[23]|SupportedVersions)", TlsFailure.VERSION),
        (rf"{_INCOMPATIBLE}|{_CORRUPT}|tls handshake eof", TlsFailure.OTHER),
    )
)


class ErrorFacts(NamedTuple):
    """What an error says; all null or false where it says nothing.

    Attributes:
        decision: a value of ``Decision``.
        policy_name: the policy that decided.
        policy_namespace: its namespace.
        policy_kind: AuthorizationPolicy or PeerAuthentication.
        reason: why, of a closed list.
        tls_failure: a value of ``TlsFailure``.
        is_past_handshake: whether there was a proven peer when it happened.
    """

    decision: str | None = None
    policy_name: str | None = None
    policy_namespace: str | None = None
    policy_kind: str | None = None
    reason: str | None = None
    tls_failure: str | None = None
    is_past_handshake: bool = False


@remember
def read_error(error: str | None) -> ErrorFacts:
    """Read the error of a connection."""
    if not error:
        return ErrorFacts()
    wrappers = _WRAPPERS.match(error)
    said = error[wrappers.end() :] if wrappers else error
    denied = Decision.DENIED.value
    if said.startswith(_REJECTED):
        named = _DENIED_BY.fullmatch(said[len(_REJECTED) :])
        if named:
            kind = "PeerAuthentication" if _CONVERTED.match(named[2]) else "AuthorizationPolicy"
            return ErrorFacts(
                denied, named[2], named[1], kind, reason="explicit deny", is_past_handshake=True
            )
        reason = _REASONS.get(said, "policy rejection")
        return ErrorFacts(denied, reason=reason, is_past_handshake=True)
    if said in _REASONS:
        return ErrorFacts(denied, reason=_REASONS[said], is_past_handshake=True)
    if _REVOKED.fullmatch(said):
        failure = TlsFailure.VERIFICATION_FAILED.value
        return ErrorFacts(
            denied, reason="certificate revoked", tls_failure=failure, is_past_handshake=True
        )
    return ErrorFacts(
        tls_failure=_read_tls(said), is_past_handshake=said.startswith("http status: ")
    )


def _read_tls(said: str) -> str | None:
    """The class of a failed handshake; None where the error is none."""
    head = _TLS.match(said)
    rest = said[head.end() :] if head else said
    for pattern, failure in _CLASSES:
        if pattern.match(rest):
            return failure.value
    return TlsFailure.OTHER.value if said.startswith(_TLS_STARTS) else None
