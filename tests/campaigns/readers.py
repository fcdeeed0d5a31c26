"""Mutated texts and bytes that one function reads: read or refused, in bounded time."""

from __future__ import annotations

import base64
import gzip
import json
import random  # noqa: TID251 - seeded: the same batch each time
import re
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import json_format, message_factory

from meshtrail.collect.gunzip import gunzip
from meshtrail.collect.payloads import encode_json
from meshtrail.collect.xfcc import parse_elements, read_nearest
from meshtrail.correlate.inventory import parse_inventory
from meshtrail.errors import ConfigError, InputError, UnauthenticatedError
from meshtrail.sources.als_identifier import decode_identifier
from meshtrail.sources.json_text import check_json
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_json import RECORD_COMMAS_MAX
from meshtrail.sources.otlp_resource import decode_json_resource, decode_resource
from meshtrail.sources.otlp_schema import record_descriptor, resource_descriptor
from meshtrail.sources.proto_json import encode_json_message
from meshtrail.units import INT64_MAX
from tests.als_messages import identifier
from tests.campaigns.byte_mutator import ByteMutator
from tests.campaigns.json_mutator import JsonMutator
from tests.campaigns.mutator import Mutator
from tests.campaigns.otlp_seeds import export_seeds, json_export_seeds, json_record_seeds
from tests.otlp_exports import read_resources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES: Final = (100, 1_000, 5_000)
CPU_S_MAX: Final = 1.0
"""No item may take longer, whatever it holds."""
_CLAIM_BYTES_MAX: Final = 32_768
_BODY_BYTES_MAX: Final = 100_000
_HEX_BYTES_MAX: Final = 2_000
_ERROR_CHARS_MAX: Final = 200
_HEX: Final = re.compile("(?:[0-9A-Fa-f]{2})*")
_ID_NAMES: Final = frozenset(
    {"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"}
)
_FRONTEND: Final = "spiffe://cluster.local/ns/shop/sa/frontend"
_DIGEST: Final = "ab" * 32
HEADERS: Final = (
    f"By={_FRONTEND};Hash={_DIGEST};URI={_FRONTEND}",
    f'Hash={_DIGEST};Subject="CN=a,O=\\"b;c\\\\";URI={_FRONTEND};DNS=a;DNS=b',
    f'By=x;Hash={"cd" * 32};URI=,By=y;Hash={_DIGEST};Cert="-----BEGIN%20";URI={_FRONTEND}',
    f' Hash={_DIGEST} ; Subject="" , URI={_FRONTEND}',
)
_HEADER_PIECES: Final = (
    *(b'"', b"\\", b'\\"', b"\\\\", b",", b";", b"=", b" ", b"\t", b"\x00", b"\xe9", b"\n"),
    *(b"URI=", b"uri=", b"Hash=", b"Subject=", b'Subject="', b"By=", b";;", b",,", b"URI=http://x"),
    *(b"URI=spiffe://a/../b", b"Hash=" + b"AB" * 32, b"Chain=" + b"%" * 300, b'"' * 50, b"\\" * 50),
)
_PODS: Final[tuple[dict[str, Any], ...]] = (
    {"pods": []},
    {
        "pods": [
            {
                "pod": "web-1",
                "namespace": "shop",
                "service_account": "web",
                "addresses": ["10.0.0.7", "2001:db8::/64", "10.0.0.0/24"],
                "image_digest": "sha256:aa",
                "from": "2026-11-21T01:31:24Z",
                "to": "2026-11-21T02:31:24.5+01:00",
            },
            {"pod": "b", "namespace": "shop", "service_account": "web", "addresses": []},
        ]
    },
)
_MOMENTS: Final = tuple(
    json.dumps(text)
    for text in (
        *("1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "2262-04-12T00:00:00Z"),
        *("0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "now", "-1h", "-99999999999d", "1e3"),
        *("10.0.0.0/33", "10.0.0.1/24", "::/0", "0.0.0.0/0", "::ffff:1.2.3.4", "fe80::1%eth0", "1"),
        *("2026-11-21", "2026-11-21T24:00:00Z", "2026-11-21T00:00:60Z", "\u0662026-11-21"),
    )
)


class ReaderTarget(NamedTuple):
    """One function that reads what others wrote.

    Attributes:
        make: its mutator.
        read: reads one item; returns what is wrong with what it read.
        refused: what it may raise.
    """

    make: Callable[[random.Random], ByteMutator]
    read: Callable[[bytes], str | None]
    refused: type[Exception]


class Item(NamedTuple):
    """What is read, and the target that it counts for."""

    target: str
    data: bytes


def make_batch(seed: int, number: int) -> list[Item]:
    """The items of a batch; the same for the same seed and number."""
    rng = random.Random(f"readers {seed} {number}")  # noqa: S311 - as above
    mutators = {name: target.make(rng) for name, target in READER_TARGETS.items()}
    names = rng.choices(list(mutators), k=rng.choice(SIZES))
    return [
        Item(name, mutators[name].valid() if rng.random() < 0.1 else mutators[name].mutate())
        for name in names
    ]


def check_batch(items: Sequence[Item]) -> dict[str, Any]:
    """Read each item.

    Returns:
        Counts that add up, and ``differences``.
    """
    faults = []
    refused = 0
    for name, data in items:
        target = READER_TARGETS[name]
        fault = None
        started = time.process_time()
        try:
            fault = target.read(data)
        except target.refused:
            refused += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a fault
            fault = f"{error!r}"[:_ERROR_CHARS_MAX]
        took_s = time.process_time() - started
        if took_s > CPU_S_MAX:
            fault = f"took {took_s:.1f} s"
        if fault is not None:
            faults.append({"fault": fault, "target": name, "hex": data[:_HEX_BYTES_MAX].hex()})
    return {
        "readers": len(items),
        **Counter(item.target for item in items),
        "refused": refused,
        "differences": faults,
    }


def _read_header(data: bytes) -> str | None:
    text = data.decode("latin-1")
    elements = parse_elements(text)
    if elements != read_elements_plainly(text):
        return "other elements than a plain reader finds"
    found = read_nearest(text)
    uris = [value for key, value in elements[-1] if key == "uri" and value]
    if found.spiffe_id is not None and [found.spiffe_id] != uris:
        return "not the one URI of the last element"
    return None


def read_elements_plainly(text: str) -> list[tuple[tuple[str, str], ...]]:
    """The elements of a header that is well-formed, character by character."""
    elements: list[tuple[tuple[str, str], ...]] = []
    pairs: list[tuple[str, str]] = []
    key = value = ""
    is_key, is_quoted, was_quoted = True, False, False
    at = 0
    while at <= len(text):
        char = text[at : at + 1]
        if is_quoted and char == "\\":
            at += 1
            value += text[at] if text[at] in '"\\' else f"\\{text[at]}"
        elif is_quoted and char != '"':
            value += char
        elif char == '"' and (is_quoted or not value.strip(" \t")) and not is_key:
            is_quoted, was_quoted = not is_quoted, True
            value = value if not is_quoted else ""
        elif is_key:
            is_key = char != "="
            key += char if is_key else ""
        elif char in {";", ",", ""}:
            # What stands behind a value in quotes are blanks.
            pairs.append((key.strip(" \t").lower(), value if was_quoted else value.rstrip(" \t")))
            key, value, is_key, was_quoted = "", "", True, False
            if char != ";":
                elements.append(tuple(pairs))
                pairs = []
        elif not was_quoted:
            value += char
        at += 1
    return elements


def _read_inventory(data: bytes) -> str | None:
    inventory = parse_inventory(data, name="pods.json")
    for pod in inventory.pods:
        if not (abs(pod.from_ns) <= INT64_MAX + 1 and abs(pod.to_ns) <= INT64_MAX + 1):
            return "a moment that no column holds"
        assert pod in inventory.pods_of(pod.namespace, pod.service_account)
        inventory.pods_at(
            "10.0.0.7", 0, namespace=pod.namespace, service_account=pod.service_account
        )
    return None


def _read_gzip(data: bytes) -> str | None:
    body = gunzip(data, bytes_max=_BODY_BYTES_MAX)
    return None if body == zlib.decompress(data, 31) else "other bytes than zlib finds"


def _read_identifier(data: bytes) -> str | None:
    return _claim_fault(decode_identifier(data))


def _read_resource(data: bytes) -> str | None:
    return _claim_fault(decode_resource(data))


def _read_json_resource(data: bytes) -> str | None:
    return _claim_fault(decode_json_resource(data))


def _read_log(data: bytes) -> str | None:
    return _record_fault(data, Signal.LOGS)


def _read_span(data: bytes) -> str | None:
    return _record_fault(data, Signal.TRACES)


def _record_fault(data: bytes, signal: Signal) -> str | None:
    """Whether the protobuf of a record in JSON is what protobuf's own reader makes of it."""
    check_json(data, commas_count_max=RECORD_COMMAS_MAX)
    descriptor = record_descriptor(signal)
    encoded = encode_json_message(data, descriptor)
    message = message_factory.GetMessageClass(descriptor)()
    said = _with_ids(json.loads(data, object_pairs_hook=_once))
    json_format.ParseDict(said, message, ignore_unknown_fields=True)
    is_same = encoded == message.SerializeToString(deterministic=True)
    return None if is_same else "not what protobuf's own reader finds"


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of equal keys none counts more than the other."""
    if len(dict(members)) < len(members):
        raise ValueError("taken, and a key stands twice")
    return dict(members)


def _with_ids(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """With ids as protobuf's own JSON has them: in base64."""
    if isinstance(value, list):
        return [_with_ids(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64encode(bytes.fromhex(one)).decode()
        if key in _ID_NAMES and isinstance(one, str) and _HEX.fullmatch(one)
        else _with_ids(one)
        for key, one in value.items()
    }


def _claim_fault(claimed: dict[str, Any]) -> str | None:
    return "long claim" if len(encode_json(claimed)) > _CLAIM_BYTES_MAX else None


def _make_headers(rng: random.Random) -> ByteMutator:
    return ByteMutator([text.encode() for text in HEADERS], rng, pieces=_HEADER_PIECES)


def _make_pods(rng: random.Random) -> ByteMutator:
    return JsonMutator([json.dumps(one).encode() for one in _PODS], rng, tokens=_MOMENTS)


def _make_gzip(rng: random.Random) -> ByteMutator:
    bodies = (b"", b"a" * 5_000, export_seeds(Signal.LOGS)[0], bytes(_BODY_BYTES_MAX + 1))
    return ByteMutator([gzip.compress(body, mtime=0) for body in bodies], rng)


def _make_identifier(rng: random.Random) -> ByteMutator:
    descriptor = als_pb2.StreamAccessLogsMessage.Identifier.DESCRIPTOR
    return Mutator(descriptor, [identifier(), identifier("b")], rng)


def _make_resource(rng: random.Random) -> ByteMutator:
    found = [
        one.resource
        for body in export_seeds(Signal.LOGS)
        for one in read_resources(body)
        if one.resource
    ]
    return Mutator(resource_descriptor(), found, rng)


def _make_json_resource(rng: random.Random) -> ByteMutator:
    exports = [json.loads(body) for body in json_export_seeds(Signal.LOGS)]
    found = [one.get("resource", {}) for export in exports for one in export["resourceLogs"]]
    return JsonMutator([json.dumps(one).encode() for one in found], rng)


def _make_record(signal: Signal) -> Callable[[random.Random], ByteMutator]:
    outer, scopes, records = signal.resources_name, signal.scopes_name, signal.records_name
    exports = [json.loads(payload) for payload in json_record_seeds(signal)]
    seeds = [
        json.dumps(record).encode()
        for export in exports
        for resource in export[outer]
        for scope in resource[scopes]
        for record in scope[records]
    ]
    return lambda rng: JsonMutator(seeds, rng)


READER_TARGETS: Final = {
    "x-forwarded-client-cert": ReaderTarget(_make_headers, _read_header, UnauthenticatedError),
    "inventory": ReaderTarget(_make_pods, _read_inventory, ConfigError),
    "gzip": ReaderTarget(_make_gzip, _read_gzip, InputError),
    "identifier": ReaderTarget(_make_identifier, _read_identifier, InputError),
    "resource": ReaderTarget(_make_resource, _read_resource, InputError),
    "resource-json": ReaderTarget(_make_json_resource, _read_json_resource, InputError),
    "log-json": ReaderTarget(_make_record(Signal.LOGS), _read_log, InputError),
    "span-json": ReaderTarget(_make_record(Signal.TRACES), _read_span, InputError),
}
"""By name: what is counted under it."""
