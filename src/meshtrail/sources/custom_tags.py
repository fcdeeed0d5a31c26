"""The custom tags of access log records: what Envoy tells only when it is asked to.

``meshtrail emit-config`` asks for three. Tags with other names are somebody else's, and are left
where they are, in the entry.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Trust
from meshtrail.sources.columns import (
    Entries,
    decode_hex,
    map_distinct,
    mask_null,
    plain,
    spread,
    without,
)
from meshtrail.sources.envoy_values import remember

if TYPE_CHECKING:
    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.streams import Reporters

CONNECTION_ID: Final = "connection_id"
CLIENT_HASH: Final = "peer_certificate_sha256"
UPSTREAM_NAMES: Final = "upstream_peer_uri_san"

SEVERAL_NAMES: Final = "upstream certificate with several URI SANs"

_NUMBER: Final = "^[1-9][0-9]{0,17}$"
"""Numbers that surely fit; Envoy says 0 where there was no connection yet."""
_HASH_TEMPLATE: Final = "x" * 64
_BETWEEN_NAMES: Final = ","
"""Envoy puts it between several names; no SPIFFE ID has one."""


class UpstreamName(NamedTuple):
    """Who the upstream's certificate says it is.

    Attributes:
        uri: its one URI SAN.
        has_many: whether it has several, which no X509-SVID has.
    """

    uri: str | None = None
    has_many: bool = False


@remember
def read_upstream_name(names: bytes | None) -> UpstreamName:
    """Read the URI SANs of an upstream's certificate, as Envoy joins them."""
    try:
        text = names.decode() if names else ""
    except UnicodeDecodeError:
        return UpstreamName()
    if _BETWEEN_NAMES in text:
        return UpstreamName(has_many=True)
    return UpstreamName(uri=text or None)


@dataclass(frozen=True, slots=True)
class CustomTags:
    """The tags that become columns.

    Attributes:
        connection_id: int64[n].
        client_hash: binary(32)[n].
        upstream_uri: string[n], the one URI SAN of the upstream's certificate.
        upstream_has_many: bool[n], whether that certificate has several.
    """

    connection_id: pa.Array
    client_hash: pa.Array
    upstream_uri: pa.Array
    upstream_has_many: pa.Array


def read_custom_tags(lists: pa.Array) -> CustomTags | None:
    """Read the tags of records; None where no record has any.

    Args:
        lists: the shim of ``AccessLogCommon.custom_tags``, a list of entries for each row.
    """
    tags = Entries(lists)
    if not len(tags.flat):
        return None
    keys, values, count = tags.field("key"), tags.field("value"), len(lists)

    def of(name: str) -> pa.Array:
        # Of equal keys the last counts, as in protobuf maps.
        return spread(values, tags.rows, tags.where(pc.equal(keys, name.encode())), count)

    client_hash, _ = decode_hex(of(CLIENT_HASH), _HASH_TEMPLATE)
    uri, has_many = map_distinct(of(UPSTREAM_NAMES), read_upstream_name, [pa.string(), pa.bool_()])
    return CustomTags(
        connection_id=_numbers(of(CONNECTION_ID)),
        client_hash=client_hash,
        upstream_uri=plain(uri),
        upstream_has_many=pc.fill_null(has_many, fill_value=False),
    )


def map_tags(out: EventColumns, tags: CustomTags) -> None:
    """Fill the columns that stand for themselves."""
    out.columns["envoy_connection_id"] = tags.connection_id
    out.columns["tls_client_hash_sha256"] = tags.client_hash


def map_upstream(
    out: EventColumns, tags: CustomTags | None, own: pa.Array, reporters: Reporters
) -> None:
    """Set the callee of source-side records: the upstream, and never the proxy itself.

    Args:
        out: with ``side``, the callee of destination-side records, and the transport failures set.
        tags: of the records, if any has some.
        own: string[n], the SPIFFE ID of the certificate that the proxy showed its caller.
        reporters: who sent each record.
    """
    columns = out.columns
    is_source = pc.fill_null(pc.equal(columns["side"], "source"), fill_value=False)
    itself = pc.and_(is_source, pc.is_valid(columns["dst_spiffe_id"]))
    for name in ("dst_spiffe_id", "dst_spiffe_id_trust"):
        columns[name] = without(columns[name], itself)
    if tags is None:
        return
    out.problems[SEVERAL_NAMES] = pc.and_(is_source, tags.upstream_has_many)
    uri = mask_null(tags.upstream_uri, is_source)
    is_named = pc.is_valid(uri)
    held = reporters.held_to(own, absent_is_held=True)
    how = pc.if_else(held, Trust.ATTESTED.value, Trust.REPORTED.value)
    refused = pc.is_valid(columns["envoy_upstream_transport_failure"])
    how = pc.if_else(refused, Trust.ASSERTED.value, how)
    columns["dst_spiffe_id"] = pc.if_else(is_named, uri, columns["dst_spiffe_id"])
    columns["dst_spiffe_id_trust"] = pc.if_else(is_named, how, columns["dst_spiffe_id_trust"])


def _numbers(values: pa.Array) -> pa.Array:
    """Decimal numbers without sign and leading zeros as int64[n]; null for any other bytes."""
    return (
        mask_null(values, pc.match_substring_regex(values, _NUMBER))
        .cast(pa.string())
        .cast(pa.int64())
    )
