"""The fields of Envoy's access log records that become event columns, as shim types.

What is the same in many records (certificates and addresses of a connection, the word of a policy)
is left as bytes, so that each distinct encoding is decoded once: ``envoy_messages``, ``addresses``.

Source: envoy.data.accesslog.v3 as published in ``xds-protos``; field meanings as documented there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from google.protobuf import struct_pb2

from meshtrail.sources.shim import BYTES, FieldTree, cut_descriptor

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor

ADDRESSES: Final = (
    "downstream_direct_remote_address",
    "downstream_local_address",
    "upstream_remote_address",
    "upstream_local_address",
)
ADDRESS_FIELDS: Final[FieldTree] = {"socket_address": {"address": None, "port_value": None}}
_PERIOD: Final[FieldTree] = {"seconds": None, "nanos": None}
_NUMBER: Final[FieldTree] = {"value": None}
_MAP: Final[FieldTree] = {"key": None, "value": None}
_CERTIFICATE: Final[FieldTree] = {
    "subject_alt_name": {"uri": None},
    "subject": None,
    "issuer": None,
}
TLS_FIELDS: Final[FieldTree] = {
    "tls_version": None,
    "tls_cipher_suite": _NUMBER,
    "tls_sni_hostname": None,
    "local_certificate_properties": _CERTIFICATE,
    "peer_certificate_properties": _CERTIFICATE,
    "ja3_fingerprint": None,
}
FILTER_FIELDS: Final[FieldTree] = {"fields": {"key": None, "value": {"string_value": None}}}
PAYLOADS_FIELDS: Final[FieldTree] = {
    "fields": {"key": None, "value": {"struct_value": FILTER_FIELDS}}
}
COMMON_FIELDS: Final[FieldTree] = {
    "downstream_local_address": BYTES,
    "tls_properties": BYTES,
    "start_time": _PERIOD,
    "time_to_last_rx_byte": _PERIOD,
    "time_to_first_downstream_tx_byte": _PERIOD,
    "upstream_remote_address": BYTES,
    "upstream_local_address": BYTES,
    "upstream_cluster": None,
    "response_flags": BYTES,
    "metadata": {"filter_metadata": {"key": None, "value": BYTES}},
    "upstream_transport_failure_reason": None,
    "route_name": None,
    "downstream_direct_remote_address": BYTES,
    # As bytes: what a tag holds may come from a peer, and must not make a record unreadable.
    "custom_tags": {"key": BYTES, "value": BYTES},
    "duration": _PERIOD,
    "upstream_request_attempt_count": None,
    "connection_termination_details": None,
    # As bytes: Envoy mends what is no UTF-8 in headers, but not in this copy of x-request-id, and
    # whoever calls must not be able to make the record of its own request unreadable.
    "stream_id": BYTES,
    "downstream_transport_failure_reason": None,
    "downstream_wire_bytes_sent": None,
    "downstream_wire_bytes_received": None,
    "access_log_type": None,
}
HTTP_FIELDS: Final[FieldTree] = {
    "common_properties": COMMON_FIELDS,
    "protocol_version": None,
    "request": {
        "request_method": None,
        "scheme": None,
        "authority": None,
        "path": None,
        "user_agent": None,
        "forwarded_for": None,
        "request_id": None,
        "request_body_bytes": None,
        "request_headers": _MAP,
    },
    "response": {
        "response_code": _NUMBER,
        "response_body_bytes": None,
        "response_headers": _MAP,
        "response_trailers": _MAP,
        "response_code_details": None,
    },
}
TCP_FIELDS: Final[FieldTree] = {
    "common_properties": COMMON_FIELDS,
    "connection_properties": {"received_bytes": None, "sent_bytes": None},
}


@cache
def http_descriptor() -> Descriptor:
    """The shim of ``HTTPAccessLogEntry``."""
    # Imported here: it takes 0.2 s, which only those who decode should pay.
    from envoy.data.accesslog.v3 import accesslog_pb2  # noqa: PLC0415 - see above

    published = accesslog_pb2.HTTPAccessLogEntry.DESCRIPTOR
    return cut_descriptor(published, HTTP_FIELDS, package="meshtrail.shim.als.http")


@cache
def tcp_descriptor() -> Descriptor:
    """The shim of ``TCPAccessLogEntry``."""
    from envoy.data.accesslog.v3 import accesslog_pb2  # noqa: PLC0415 - as above

    published = accesslog_pb2.TCPAccessLogEntry.DESCRIPTOR
    return cut_descriptor(published, TCP_FIELDS, package="meshtrail.shim.als.tcp")


@cache
def address_descriptor() -> Descriptor:
    """The shim of ``Address``, which records hold as bytes."""
    from envoy.config.core.v3 import address_pb2  # noqa: PLC0415 - as above

    published = address_pb2.Address.DESCRIPTOR
    return cut_descriptor(published, ADDRESS_FIELDS, package="meshtrail.shim.als.address")


@cache
def tls_descriptor() -> Descriptor:
    """The shim of ``TLSProperties``, which records hold as bytes."""
    from envoy.data.accesslog.v3 import accesslog_pb2  # noqa: PLC0415 - as above

    published = accesslog_pb2.TLSProperties.DESCRIPTOR
    return cut_descriptor(published, TLS_FIELDS, package="meshtrail.shim.als.tls")


@cache
def filter_descriptor() -> Descriptor:
    """The shim of the ``Struct`` that a filter writes, which records hold as bytes."""
    published = struct_pb2.Struct.DESCRIPTOR
    return cut_descriptor(published, FILTER_FIELDS, package="meshtrail.shim.als.filter")


@cache
def payloads_descriptor() -> Descriptor:
    """The shim of the ``Struct`` of structs that the JWT filter writes."""
    published = struct_pb2.Struct.DESCRIPTOR
    return cut_descriptor(published, PAYLOADS_FIELDS, package="meshtrail.shim.als.payloads")
