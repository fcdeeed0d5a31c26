"""Why a TLS handshake failed: Envoy's raw reason to one class of a closed list.

A reason is a chain of errors as OpenSSL or BoringSSL name them, oldest first, and from Envoy 1.37
the cause of a refused certificate behind its error. The names of errors come from tables of the
library; a peer chooses among them by what it does, and by the alert it sends, no more. Behind a
name can stand text of the peer's own, such as the names in a certificate. Hence nothing is searched
for: errors are read from the left, and the first words of Envoy's text behind the first error that
has any are the last thing that counts.

Source: BoringSSL ``ssl.h`` (error numbers; an alert is 1,000 and its own number), RFC 8446 section
6 (alerts), reasons of a real Envoy 1.40: docs/formats/event.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa

from meshtrail.model.event import TlsFailure
from meshtrail.sources.columns import map_distinct
from meshtrail.sources.envoy_values import remember

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = re.compile(r"TLS[ _]error(?=[:|])")
_BETWEEN: Final = ":| _"
_ERROR: Final = re.compile(
    r"(?:error:([0-9A-Fa-f]{8})|([0-9]{4,10}))"
    r"(?::[^:|]*:[^:|]*:([^:|]*?))?(?=[:|]|[ _][0-9]{6,10}:|$)"
)
_END: Final = ":TLS_error_end"
_CONNECT_ERROR: Final = re.compile(r"(?:delayed|immediate)[ _]connect[ _]error")
_CAUSE: Final = re.compile(
    r"(?:verify_cert_failed:_)?"
    r"(?:x509_verify_cert:_certificate_verification_error_at_depth_[0-9]+:_)?([^:|\[,]*)"
)

_BORINGSSL: Final = 16
"""BoringSSL's number of its own errors, in the top byte."""
_ALERT: Final = "_ALERT_"
_ALERTS_START: Final = 1_000

_ERRORS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": TlsFailure.NO_PEER_CERTIFICATE,
    "CERTIFICATE_VERIFY_FAILED": TlsFailure.VERIFICATION_FAILED,
    "UNSUPPORTED_PROTOCOL": TlsFailure.VERSION,
    "HTTP_REQUEST": TlsFailure.PLAINTEXT,
    "HTTPS_PROXY_REQUEST": TlsFailure.PLAINTEXT,
    # The first bytes are no TLS record at all; the versions that TLS has differ elsewhere.
    "WRONG_VERSION_NUMBER": TlsFailure.PLAINTEXT,
}
_ALERTS: Final = {
    "NO_CERTIFICATE": TlsFailure.NO_PEER_CERTIFICATE,
    "CERTIFICATE_REQUIRED": TlsFailure.NO_PEER_CERTIFICATE,
    "BAD_CERTIFICATE": TlsFailure.VERIFICATION_FAILED,
    "UNSUPPORTED_CERTIFICATE": TlsFailure.VERIFICATION_FAILED,
    "CERTIFICATE_REVOKED": TlsFailure.VERIFICATION_FAILED,
    "CERTIFICATE_UNKNOWN": TlsFailure.VERIFICATION_FAILED,
    "BAD_CERTIFICATE_STATUS_RESPONSE": TlsFailure.VERIFICATION_FAILED,
    "BAD_CERTIFICATE_HASH_VALUE": TlsFailure.VERIFICATION_FAILED,
    "CERTIFICATE_EXPIRED": TlsFailure.EXPIRED,
    "UNKNOWN_CA": TlsFailure.UNKNOWN_CA,
    "PROTOCOL_VERSION": TlsFailure.VERSION,
}
_NUMBERS: Final = {
    125: "CERTIFICATE_VERIFY_FAILED",
    155: "HTTPS_PROXY_REQUEST",
    156: "HTTP_REQUEST",
    192: "PEER_DID_NOT_RETURN_A_CERTIFICATE",
    240: "UNSUPPORTED_PROTOCOL",
    247: "WRONG_VERSION_NUMBER",
    _ALERTS_START + 41: "_ALERT_NO_CERTIFICATE",
    _ALERTS_START + 42: "_ALERT_BAD_CERTIFICATE",
    _ALERTS_START + 43: "_ALERT_UNSUPPORTED_CERTIFICATE",
    _ALERTS_START + 44: "_ALERT_CERTIFICATE_REVOKED",
    _ALERTS_START + 45: "_ALERT_CERTIFICATE_EXPIRED",
    _ALERTS_START + 46: "_ALERT_CERTIFICATE_UNKNOWN",
    _ALERTS_START + 48: "_ALERT_UNKNOWN_CA",
    _ALERTS_START + 70: "_ALERT_PROTOCOL_VERSION",
    _ALERTS_START + 113: "_ALERT_BAD_CERTIFICATE_STATUS_RESPONSE",
    _ALERTS_START + 114: "_ALERT_BAD_CERTIFICATE_HASH_VALUE",
    _ALERTS_START + 116: "_ALERT_CERTIFICATE_REQUIRED",
}
_CAUSES: Final = {
    "certificate_has_expired": TlsFailure.EXPIRED,
    "unable_to_get_issuer_certificate": TlsFailure.UNKNOWN_CA,
    "unable_to_get_local_issuer_certificate": TlsFailure.UNKNOWN_CA,
    "unable_to_verify_the_first_certificate": TlsFailure.UNKNOWN_CA,
    "self_signed_certificate": TlsFailure.UNKNOWN_CA,
    "self_signed_certificate_in_certificate_chain": TlsFailure.UNKNOWN_CA,
    "no_trust_bundle_store": TlsFailure.UNKNOWN_CA,
    "hostname_mismatch": TlsFailure.SAN_MISMATCH,
    "ip_address_mismatch": TlsFailure.SAN_MISMATCH,
    "email_address_mismatch": TlsFailure.SAN_MISMATCH,
    "san_match": TlsFailure.SAN_MISMATCH,
    "san_matcher": TlsFailure.SAN_MISMATCH,
    "verify_san_list": TlsFailure.SAN_MISMATCH,
    "uri_san_peer_identity_mismatches": TlsFailure.SAN_MISMATCH,
}


def map_failures(reasons: pa.Array) -> pa.Array:
    """The class of each reason.

    Args:
        reasons: string[n], transport failure reasons; null where there is none.

    Returns:
        string[n], ``coded``; null where nothing failed, or not TLS.
    """
    (failures,) = map_distinct(reasons, lambda reason: (read_failure(reason),), [pa.string()])
    return failures


@remember
def read_failure(reason: str | None) -> str | None:
    """The class of one transport failure reason: a value of ``TlsFailure``.

    None for no reason, and for an upstream that could not be reached at all. Of several errors the
    first that tells more than ``other`` counts.
    """
    if not reason or _CONNECT_ERROR.match(reason):
        return None
    classes = (_classify(error) for error in _errors_in(reason))
    told = (failure for failure in classes if failure is not TlsFailure.OTHER)
    return next(told, TlsFailure.OTHER).value


class _Error(NamedTuple):
    """One error of a chain: its name, and the text behind it."""

    name: str
    text: str


def _errors_in(reason: str) -> Iterator[_Error]:
    """The errors of a reason in their order, up to the first that has text behind it."""
    head = _HEAD.match(reason)
    rest = reason[head.end() :] if head else ""
    while match := _ERROR.match(rest := rest.lstrip(_BETWEEN)):
        rest = rest[match.end() :].removeprefix(_END)
        text = rest[1:] if rest.startswith(":") else ""
        yield _Error(_name(match), text)
        if text:
            return


def _name(error: re.Match[str]) -> str:
    """What an error is called in BoringSSL; by its number where its name is missing."""
    hexadecimal, decimal, name = error.groups()
    if name:
        return name.upper().replace(" ", "_")
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return _NUMBERS.get(code & 0xFFF, "") if code >> 24 == _BORINGSSL else ""


def _classify(error: _Error) -> TlsFailure:
    _, mark, alert = error.name.partition(_ALERT)
    if mark:
        return _ALERTS.get(alert, TlsFailure.OTHER)
    failure = _ERRORS.get(error.name, TlsFailure.OTHER)
    if failure is TlsFailure.VERIFICATION_FAILED and error.text:
        text = error.text.lower().replace(" ", "_").replace("self-signed", "self_signed")
        cause = _CAUSE.match(text)
        return _CAUSES.get(cause[1], failure) if cause else failure
    return failure
