"""What the small messages inside a record mean, each read from its own bytes.

They repeat from record to record: ten thousand requests come over some hundred connections and meet
a dozen policies. So a record is decoded with these as bytes, and each distinct encoding is read
once, by protobuf.
"""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.als_schema import filter_descriptor, tls_descriptor

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

NOT_PROTOBUF: Final = "not a protobuf message"
NOT_JSON: Final = "not a JSON object"
NOT_UTF8: Final = "invalid UTF-8 in a string"


class TlsFacts(NamedTuple):
    """What a record says of the downstream connection's TLS; null where it says nothing.

    Attributes:
        version: as in ``envoy_values.TLS_VERSIONS``.
        is_ended: whether the proxy ends the caller's TLS, or would have.
        cipher: IANA name.
        server_name: SNI.
        ja3: fingerprint of the caller.
        subject: of the caller's certificate.
        issuer: of the caller's certificate.
        caller: the one URI SAN of the caller's certificate.
        callee: the one URI SAN of the proxy's own.
        caller_many: whether the caller's has several, which no X509-SVID has.
        callee_many: whether the proxy's own has.
        problem: why none of it could be read.
    """

    version: str | None = None
    is_ended: bool = False
    cipher: str | None = None
    server_name: str | None = None
    ja3: str | None = None
    subject: str | None = None
    issuer: str | None = None
    caller: str | None = None
    callee: str | None = None
    caller_many: bool = False
    callee_many: bool = False
    problem: str | None = None


@envoy.remember
def read_tls(data: bytes | None) -> TlsFacts:
    """Read ``TLSProperties``.

    Source: envoy.data.accesslog.v3; X509-SVID section 2.
    """
    if not data:
        return TlsFacts()
    try:
        tls = parse_message(tls_descriptor(), data)
    except DecodeError as verdict:
        return TlsFacts(problem=f"tls_properties: {plain_reason(verdict)}")
    suite = tls.tls_cipher_suite.value if tls.HasField("tls_cipher_suite") else None
    caller = [name.uri for name in tls.peer_certificate_properties.subject_alt_name if name.uri]
    callee = [name.uri for name in tls.local_certificate_properties.subject_alt_name if name.uri]
    return TlsFacts(
        version=envoy.tls_version_name(tls.tls_version, suite),
        is_ended=tls.tls_version != 0,
        cipher=envoy.cipher_suite_name(suite),
        server_name=tls.tls_sni_hostname or None,
        ja3=tls.ja3_fingerprint or None,
        subject=tls.peer_certificate_properties.subject or None,
        issuer=tls.peer_certificate_properties.issuer or None,
        caller=caller[0] if len(caller) == 1 else None,
        callee=callee[0] if len(callee) == 1 else None,
        caller_many=len(caller) > 1,
        callee_many=len(callee) > 1,
    )


class RbacFacts(NamedTuple):
    """What an RBAC filter wrote; null where it wrote nothing.

    Attributes:
        result: of the enforced policies, in the filter's own word.
        policy_id: the enforced policy that decided.
        dry_run_result: of shadow policies; ``denied`` when one of several says so.
        dry_run_policy_id: the shadow policy that decided.
        problem: why none of it could be read.
    """

    result: str | None = None
    policy_id: str | None = None
    dry_run_result: str | None = None
    dry_run_policy_id: str | None = None
    problem: str | None = None


@envoy.remember
def read_rbac(data: bytes | None) -> RbacFacts:
    """Read the ``Struct`` of an RBAC filter's dynamic metadata.

    Istio and dry runs put prefixes before the keys; of several fields with one ending the last
    counts.
    """
    if not data:
        return RbacFacts()
    try:
        struct = parse_message(filter_descriptor(), data)
    except DecodeError as verdict:
        return RbacFacts(problem=f"metadata of an RBAC filter: {plain_reason(verdict)}")
    return _rbac_facts([(field.key, field.value.string_value) for field in struct.fields])


@envoy.remember
def read_rbac_json(text: str | None) -> RbacFacts:
    """Read the same ``Struct`` as an Envoy writes it into a text: a JSON object."""
    if not text:
        return RbacFacts()
    try:
        fields = read_json_words(text)
    except ValueError:
        return RbacFacts(problem=f"metadata of an RBAC filter: {NOT_JSON}")
    return _rbac_facts(fields)


def read_json_words(text: str) -> list[tuple[str, str]]:
    """The fields of a JSON object that are texts, in their order, equal keys and all.

    Raises:
        ValueError: it is no JSON object, or holds half of a surrogate pair.
    """
    try:
        # Objects become tuples, to be told from lists.
        fields = json.loads(text, object_pairs_hook=tuple)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(fields, tuple):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of error
    words = [(key, word) for key, word in fields if isinstance(word, str)]
    for pair in words:
        "".join(pair).encode()
    return words


def _rbac_facts(fields: list[tuple[str, str]]) -> RbacFacts:
    def last(ending: str) -> str | None:
        return next((word for key, word in reversed(fields) if word and key.endswith(ending)), None)

    denied = any(key.endswith("shadow_engine_result") and word == "denied" for key, word in fields)
    return RbacFacts(
        result=last("enforced_engine_result"),
        policy_id=last("enforced_effective_policy_id"),
        dry_run_result="denied" if denied else last("shadow_engine_result"),
        dry_run_policy_id=last("shadow_effective_policy_id"),
    )


class FlagFacts(NamedTuple):
    """Response flags: Envoy's short codes joined by commas, or why they could not be read."""

    codes: str | None = None
    problem: str | None = None


@envoy.remember
def read_flags(data: bytes | None) -> FlagFacts:
    """Read ``ResponseFlags``."""
    if not data:
        return FlagFacts()
    try:
        flags = _flags_class().FromString(data)
    except DecodeError as verdict:
        return FlagFacts(problem=f"response_flags: {plain_reason(verdict)}")
    names = [field.name for field, _ in flags.ListFields()]
    codes = [envoy.RESPONSE_FLAGS[name] for name in names if name in envoy.RESPONSE_FLAGS]
    return FlagFacts(",".join(codes) or None)


def plain_reason(verdict: DecodeError) -> str:
    """Why protobuf refused a message, in words that do not change with its version."""
    return NOT_UTF8 if "UTF-8" in str(verdict) else NOT_PROTOBUF


def parse_message(descriptor: Descriptor, data: bytes) -> Any:  # noqa: ANN401 - generated classes have no types
    """A message of a shim type.

    Raises:
        DecodeError: protobuf refuses it.
    """
    return message_factory.GetMessageClass(descriptor).FromString(data)


@cache
def _flags_class() -> Any:  # noqa: ANN401 - generated classes have no types
    from envoy.data.accesslog.v3 import accesslog_pb2  # noqa: PLC0415 - 0.2 s, only for decoding

    return accesslog_pb2.ResponseFlags
