from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from meshtrail.model.event import TlsFailure
from meshtrail.sources.tls_failures import map_failures, read_failure

REFUSED = "268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED"
NO_CERTIFICATE = "268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE"
EXPIRED = "certificate has expired"
X509 = "verify cert failed: X509_verify_cert: certificate verification error at depth 0: "
SANS = "verify cert failed: SAN matcher, certificate SANs are ["


def chain(*errors: str) -> str:
    return f"TLS_error:|{'|'.join(errors)}:TLS_error_end"


@pytest.mark.parametrize(
    ("cause", "failure"),
    [
        ("certificate has expired", "expired"),
        ("certificate is not yet valid", "verification_failed"),
        ("CRL has expired", "verification_failed"),
        ("certificate revoked", "verification_failed"),
        ("unable to get local issuer certificate", "unknown_ca"),
        ("unable to get issuer certificate", "unknown_ca"),
        ("unable to verify the first certificate", "unknown_ca"),
        ("self signed certificate", "unknown_ca"),
        ("self-signed certificate in certificate chain", "unknown_ca"),
        ("Hostname mismatch", "san_mismatch"),
    ],
)
def test_cause_behind_a_refused_certificate_tells_its_class(cause: str, failure: str) -> None:
    assert read_failure(chain(f"{REFUSED}:{X509}{cause}")) == failure
    # Envoy 1.37 wrote the cause alone.
    assert read_failure(chain(f"{REFUSED}:{cause}")) == failure


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (REFUSED, "verification_failed"),
        (f"{REFUSED}:{SANS}spiffe://a/b]", "san_mismatch"),
        (f"{REFUSED}:verify cert failed: verify SAN list, expected SANs: [a]", "san_mismatch"),
        (f"{REFUSED}:verify cert failed: cert hash and spki", "verification_failed"),
        (
            f"{NO_CERTIFICATE}:peer did not provide required client certificate",
            "no_peer_certificate",
        ),
        ("268435696:SSL routines:OPENSSL_internal:UNSUPPORTED_PROTOCOL", "version"),
        ("268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST", "plaintext"),
        ("268435611:SSL routines:OPENSSL_internal:HTTPS_PROXY_REQUEST", "plaintext"),
        ("268435703:SSL routines:OPENSSL_internal:WRONG_VERSION_NUMBER", "plaintext"),
        ("33554536:system library:OPENSSL_internal:Connection reset by peer", "other"),
        ("268435606:SSL routines:OPENSSL_internal:EXCESSIVE_MESSAGE_SIZE", "other"),
    ],
)
def test_own_errors_of_the_proxy_have_their_class(error: str, failure: str) -> None:
    assert read_failure(chain(error)) == failure


@pytest.mark.parametrize(
    ("number", "name", "failure"),
    [
        (40, "SSLV3_ALERT_HANDSHAKE_FAILURE", "other"),
        (41, "SSLV3_ALERT_NO_CERTIFICATE", "no_peer_certificate"),
        (42, "SSLV3_ALERT_BAD_CERTIFICATE", "verification_failed"),
        (43, "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "verification_failed"),
        (44, "SSLV3_ALERT_CERTIFICATE_REVOKED", "verification_failed"),
        (45, "SSLV3_ALERT_CERTIFICATE_EXPIRED", "expired"),
        (46, "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "verification_failed"),
        (48, "TLSV1_ALERT_UNKNOWN_CA", "unknown_ca"),
        (49, "TLSV1_ALERT_ACCESS_DENIED", "other"),
        (70, "TLSV1_ALERT_PROTOCOL_VERSION", "version"),
        (80, "TLSV1_ALERT_INTERNAL_ERROR", "other"),
        (116, "TLSV1_ALERT_CERTIFICATE_REQUIRED", "no_peer_certificate"),
    ],
)
def test_alert_of_the_peer_has_the_class_that_it_means(
    number: int, name: str, failure: str
) -> None:
    code = (16 << 24) + 1_000 + number
    assert read_failure(chain(f"{code}:SSL routines:OPENSSL_internal:{name}")) == failure
    assert read_failure(f"TLS error: {code}") == failure
    spoken = name.lower().replace("_", " ")
    assert read_failure(f"TLS error: 336151568:SSL routines:ssl3_read_bytes:{spoken}") == failure


@pytest.mark.parametrize(
    "reason",
    [
        chain(f"{REFUSED}:{X509}{EXPIRED}"),
        chain(f"{REFUSED}:{X509}{EXPIRED}").replace(" ", "_"),
        f"TLS error: {REFUSED}:{X509}{EXPIRED}",
        f"TLS_error:_{REFUSED}:{EXPIRED}",
        chain("268435595:SSL routines:OPENSSL_internal:X", f"{REFUSED}:{EXPIRED}"),
        f"TLS error: 268435595:SSL routines:OPENSSL_internal:X {REFUSED}:{EXPIRED}",
        f"TLS_error|error:1000007d:a:b:CERTIFICATE_VERIFY_FAILED:{X509}{EXPIRED}:TLS_error_end",
        f"TLS_error:|268435501:a:b:Y:TLS_error_end|{REFUSED}:{EXPIRED}:TLS_error_end",
        f"TLS error: error:0A000086:SSL routines::certificate verify failed:{EXPIRED}",
    ],
)
def test_every_spelling_of_a_reason_is_read_alike(reason: str) -> None:
    assert read_failure(reason) == "expired"


def test_error_without_a_name_is_known_by_its_number() -> None:
    assert read_failure("TLS error: 268435648") == "no_peer_certificate"
    assert read_failure("TLS_error|error:1000009c:TLS_error_end") == "plaintext"
    # The same reason of another library is another error.
    assert read_failure(f"TLS error: {(17 << 24) + 192}") == "other"


@pytest.mark.parametrize("reason", [None, "", "delayed connect error: Connection refused"])
def test_nothing_that_failed_in_tls_has_no_class(reason: str | None) -> None:
    assert read_failure(reason) is None


@pytest.mark.parametrize(
    "reason",
    [
        "immediate_connect_error:_Network_is_unreachable",
        "delayed_connect_error:_111",
    ],
)
def test_upstream_that_cannot_be_reached_is_no_failed_handshake(reason: str) -> None:
    assert read_failure(reason) is None


@pytest.mark.parametrize(
    "reason",
    ["TLS error: Secret is not supplied by SDS", "transport socket timeout was reached", "x:|y"],
)
def test_reason_that_names_no_error_is_other(reason: str) -> None:
    assert read_failure(reason) == "other"


_FORGERIES = st.sampled_from(
    [
        "certificate has expired",
        ":TLS_error_end|268435648:SSL routines:OPENSSL_internal:PEER_DID_NOT_RETURN_A_CERTIFICATE",
        "]:TLS_error_end",
        "|268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST",
        " 268435612:SSL routines:OPENSSL_internal:HTTP_REQUEST",
        ":TLS_error:|268436504:SSL routines:OPENSSL_internal:TLSV1_ALERT_UNKNOWN_CA",
    ]
)


@given(names=st.lists(_FORGERIES | st.text(max_size=40), max_size=4))
def test_names_in_a_certificate_cannot_forge_another_class(names: list[str]) -> None:
    reason = chain(f"{REFUSED}:{SANS}{','.join(names)}]")
    assert read_failure(reason) == "san_mismatch"
    assert read_failure(reason.replace(" ", "_")) == "san_mismatch"


@given(text=_FORGERIES.map(lambda forgery: forgery.lstrip(":| ")) | st.text(min_size=1))
def test_text_behind_an_error_cannot_forge_a_further_one(text: str) -> None:
    # A colon alone stands between a name and its text, as between the parts of an error.
    assume(not text.startswith("TLS_error_end"))
    assert read_failure(f"TLS_error:|268435595:a:b:NO_CLASS:{text}") == "other"


@given(st.text(max_size=80) | st.from_regex(r"TLS_error:?\|[0-9:|A-Za-z_ ]{0,60}", fullmatch=True))
def test_any_text_has_a_class_of_the_closed_list(reason: str) -> None:
    assert read_failure(reason) in {None, *(failure.value for failure in TlsFailure)}


def test_column_of_reasons_becomes_a_column_of_classes() -> None:
    reasons = [chain(REFUSED), None, chain("268435612:a:b:HTTP_REQUEST"), chain(REFUSED)]
    assert map_failures(pa.array(reasons)).to_pylist() == [
        "verification_failed",
        None,
        "plaintext",
        "verification_failed",
    ]
    assert map_failures(pa.nulls(2, pa.string())).to_pylist() == [None, None]
