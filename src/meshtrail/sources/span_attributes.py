"""What the attributes of spans say, as event columns: conventions of OpenTelemetry, tags of Envoy.

The rules in words: docs/formats/event.md, "How spans become events". Identities are never read:
nobody vouches for an attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Trust
from meshtrail.sources import span_values as spans
from meshtrail.sources.access_rules import UUID_TEMPLATE
from meshtrail.sources.columns import decode_hex, labelled, map_distinct, mask_null, plain, without
from meshtrail.sources.envoy_values import side_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from meshtrail.sources.any_values import Attributes

Columns = dict[str, pa.Array]

_S: Final = pa.string()
_I32: Final = pa.int32()
_I64: Final = pa.int64()
_URL: Final = r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>(?s:.*))$"
_TARGET: Final = r"^(?P<path>[^?]*)\??(?P<query>(?s:.*))$"
_USER: Final = r"^(?s:.*)@"


def read_attributes(attributes: Attributes, kind: pa.Array) -> Columns:
    """The event columns that attributes of spans say.

    Args:
        attributes: of n spans.
        kind: string[n], as in ``span_values.KINDS``.

    Returns:
        Columns by name, n rows each.
    """
    columns = {
        **_read_plain(attributes),
        **_read_rpc(attributes),
        **_read_addresses(attributes, kind),
        **_read_request_id(attributes),
        **_read_dry_run(attributes),
    }
    columns |= _read_url(attributes, columns["url_scheme"], kind)
    (side,) = map_distinct(columns["envoy_upstream_cluster"], _read_side, [_S])
    columns["side"] = mask_null(plain(side), _is_envoy(attributes))
    for name in ("http_request_method", "envoy_response_flags"):
        columns[name] = pc.dictionary_encode(columns[name])
    return columns


def _read_plain(attributes: Attributes) -> Columns:
    """What is a column as it is, but for Envoy's word for nothing."""
    columns = {}
    for name, keys in spans.SPELLINGS.items():
        text = attributes.text(*keys)
        columns[name] = without(text, pc.equal(text, spans.NOTHING))
    for name, keys in spans.SIZES.items():
        columns[name] = attributes.integer(*keys, to=_I64)
    status = attributes.integer(*spans.HTTP_STATUSES, to=_I32)
    columns["http_response_status_code"] = without(status, pc.equal(status, 0))
    (columns["network_protocol_version"],) = map_distinct(
        attributes.text(*spans.PROTOCOLS), lambda text: (spans.protocol_version(text),), [_S]
    )
    return columns


def _read_url(attributes: Attributes, scheme: pa.Array, kind: pa.Array) -> Columns:
    """Path, query, scheme and host, of which a URL has all and other attributes one each."""
    full, old = (_UrlParts(attributes.text(key)) for key in spans.URLS)
    target = pc.coalesce(full.target, attributes.text("http.target"), old.target)
    parts = pc.extract_regex(target, _TARGET)
    own_path = attributes.text("url.path")
    has_query = pc.and_(pc.match_substring(target, "?"), pc.is_null(own_path))
    query = mask_null(pc.struct_field(parts, "query"), has_query)
    is_calling, is_called = _is(kind, spans.CALLING_KINDS), _is(kind, spans.CALLED_KINDS)
    host = pc.coalesce(
        attributes.text(*spans.HOSTS),
        mask_null(attributes.text("net.host.name"), is_called),
        mask_null(attributes.text("net.peer.name"), is_calling),
        attributes.text("grpc.authority"),
        full.authority,
        old.authority,
    )
    return {
        "url_scheme": pc.coalesce(scheme, full.scheme, old.scheme),
        "url_path": pc.coalesce(own_path, pc.struct_field(parts, "path")),
        "url_query": pc.coalesce(attributes.text("url.query"), query),
        "server_address": host,
    }


class _UrlParts:
    """Scheme, authority and what stands behind it, of URLs; each string[n]."""

    def __init__(self, url: pa.Array) -> None:
        parts = pc.extract_regex(url, _URL)
        self.scheme = pc.struct_field(parts, "scheme")
        # A user and a password before the host are nobody's business.
        host = pc.replace_substring_regex(pc.struct_field(parts, "authority"), _USER, "")
        self.authority = without(host, pc.equal(host, ""))
        target = pc.struct_field(parts, "target")
        self.target = without(target, pc.equal(target, ""))


def _read_rpc(attributes: Attributes) -> Columns:
    """Method and status of calls that are gRPC, or at least not said to be something else."""
    system = attributes.text(*spans.RPC_SYSTEMS)
    is_grpc = pc.or_(pc.is_null(system), _is(system, {"grpc"}))
    method, service = attributes.text("rpc.method"), attributes.text("rpc.service")
    joined = pc.binary_join_element_wise(service, method, "/")
    is_whole = pc.fill_null(pc.match_substring(method, "/"), fill_value=False)
    method = pc.coalesce(pc.if_else(is_whole, method, joined), method, attributes.text("grpc.path"))
    (named,) = map_distinct(
        attributes.text(spans.RPC_STATUSES[0]), lambda text: (spans.grpc_status(text),), [_I32]
    )
    status = pc.coalesce(named, attributes.integer(*spans.RPC_STATUSES, to=_I32))
    return {
        "rpc_method": mask_null(pc.replace_substring_regex(method, "^/", ""), is_grpc),
        "rpc_grpc_status_code": mask_null(status, is_grpc),
    }


def _read_addresses(attributes: Attributes, kind: pa.Array) -> Columns:
    """The ends of the connection, never what a header says of them.

    The kind of a span says which end its peer is. Envoy's tags need no kind: what it calls is
    ``upstream_address``, and ``peer.address`` is its caller unless it is the same.
    """
    is_called, is_calling = _is(kind, spans.CALLED_KINDS), _is(kind, spans.CALLING_KINDS)
    peer = _connected(attributes, spans.PEERS, spans.PEER_PORTS)
    local = _connected(attributes, spans.LOCALS, spans.LOCAL_PORTS)
    is_envoy = _is_envoy(attributes)
    upstream = mask_null(attributes.text("upstream_address"), is_envoy)
    caller = mask_null(attributes.text("peer.address"), is_envoy)
    caller = without(caller, pc.fill_null(pc.equal(caller, upstream), fill_value=False))
    columns = {}
    for end, is_peer, is_local, socket in (
        ("src", is_called, is_calling, caller),
        ("dst", is_calling, is_called, upstream),
    ):
        ip, port = (
            pc.coalesce(mask_null(of_peer, is_peer), mask_null(of_local, is_local))
            for of_peer, of_local in zip(peer, local, strict=True)
        )
        envoy_ip, envoy_port = map_distinct(socket, spans.read_socket, [_S, _I32])
        columns[f"{end}_ip"] = pc.coalesce(ip, plain(envoy_ip))
        columns[f"{end}_port"] = pc.if_else(pc.is_valid(ip), port, envoy_port)
    return columns


def _connected(
    attributes: Attributes, addresses: tuple[str, ...], ports: tuple[str, ...]
) -> tuple[pa.Array, pa.Array]:
    """One end of the connection: string[n], int32[n]; the port counts only beside an address."""
    (ip,) = map_distinct(attributes.text(*addresses), lambda text: (spans.read_ip(text),), [_S])
    port = attributes.integer(*ports, to=_I32)
    return plain(ip), without(port, pc.greater(port, spans.PORT_MAX))


def _read_request_id(attributes: Attributes) -> Columns:
    """As of access log records: 16 bytes of a UUID, any other text as it is."""
    text = attributes.text(*spans.REQUEST_IDS)
    request_id, is_uuid = decode_hex(text, UUID_TEMPLATE)
    return {
        "request_id": request_id,
        "request_id_text": mask_null(text, ~is_uuid),
        "request_id_trust": labelled(pc.is_valid(text), Trust.ASSERTED.value),
    }


def _read_dry_run(attributes: Attributes) -> Columns:
    """Istio's tags about policies that are only tried; one that would deny comes first."""
    deny, allow = (
        {
            word: attributes.text(f"{spans.DRY_RUN}.{action}_policy.{word}")
            for word in ("result", "name")
        }
        for action in ("deny", "allow")
    )
    is_allows = pc.and_(
        _is(allow["result"], {"denied"}), pc.invert(_is(deny["result"], {"denied"}))
    )
    is_allows = pc.or_(is_allows, pc.is_null(deny["result"]))
    return {
        "dry_run_decision": pc.if_else(is_allows, allow["result"], deny["result"]),
        "dry_run_policy": pc.if_else(is_allows, allow["name"], deny["name"]),
    }


def _read_side(cluster: str) -> tuple[str | None]:
    """Which end a proxy is, by the cluster that it calls; Istio names them so."""
    return (side_of(upstream_cluster=cluster, has_peer_certificate=False, has_downstream_tls=True),)


def _is_envoy(attributes: Attributes) -> pa.Array:
    return _is(attributes.text("component"), {"proxy"})


def _is(column: pa.Array, values: Collection[str]) -> pa.Array:
    """Whether a row has one of the values; null is none of them."""
    return pc.is_in(column, pa.array(sorted(values), _S))
