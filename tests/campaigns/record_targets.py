"""What the campaign of records bends: a line for each kind of entry that is decoded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.sources.als_schema import http_descriptor, tcp_descriptor
from meshtrail.sources.counter_schema import envoy_descriptor, otlp_descriptor
from meshtrail.sources.counter_slices import HEAD
from meshtrail.sources.mappings import FORMAT_NAMES
from meshtrail.sources.otlp_frame import Signal
from tests.campaigns.byte_mutator import ByteMutator
from tests.campaigns.json_mutator import JsonMutator
from tests.campaigns.line_seeds import JSON_SEEDS, PIECES, TEXT_SEEDS
from tests.campaigns.mutator import Mutator
from tests.campaigns.otlp_seeds import (
    COUNTER_TEXTS,
    LOG_TEXTS,
    REQUESTS,
    SPAN_TEXTS,
    envoy_metrics_seeds,
    export_seeds,
    json_export_seeds,
    json_record_seeds,
    record_seeds,
)
from tests.campaigns.seeds import http_seeds, tcp_seeds
from tests.clock_statements import S, opened_by, stated

if TYPE_CHECKING:
    import random  # noqa: TID251 - the caller's, seeded
    from collections.abc import Callable, Sequence

NOW_NS: Final = 1_795_224_685_000_000_000
"""When the first record of a batch arrives."""

LEDGER_NODE: Final = "sidecar~10.0.0.7"
"""Whose clock is stated: what the senders of a batch call themselves."""


class Bends(Protocol):
    """Makes valid and bent items."""

    def valid(self) -> bytes:
        """A valid one."""
        ...

    def mutate(self) -> bytes:
        """A bent one."""
        ...


class RecordTarget(NamedTuple):
    """One kind of entry.

    Attributes:
        entry_type: of the entry.
        payload_format: likewise.
        share: how often it is drawn, against the others.
        make: its mutator.
    """

    entry_type: EntryType
    payload_format: PayloadFormat
    share: int
    make: Callable[[random.Random], Bends]


class PushMutator:
    """Bends pushes of counters as entries hold them: behind what accounts for the rest."""

    def __init__(self, messages: Mutator | JsonMutator, rng: random.Random) -> None:
        self._messages = messages
        self._rng = rng

    def valid(self) -> bytes:
        """Before a message as it is."""
        return HEAD.pack(bytes(32), 7) + self._messages.valid()

    def mutate(self) -> bytes:
        """Before a bent one; at times both are bent."""
        head = HEAD.pack(self._rng.randbytes(32), self._rng.getrandbits(64))
        data = head + self._messages.mutate()
        return data if self._rng.random() < 0.95 else data[: self._rng.randint(0, len(data))]


def _als_http(rng: random.Random) -> Bends:
    return Mutator(http_descriptor(), http_seeds(), rng)


def _als_tcp(rng: random.Random) -> Bends:
    return Mutator(tcp_descriptor(), tcp_seeds(), rng)


def _otlp(signal: Signal, texts: Sequence[bytes]) -> Callable[[random.Random], Bends]:
    return lambda rng: Mutator(REQUESTS[signal].DESCRIPTOR, record_seeds(signal), rng, texts=texts)


def _otlp_json(signal: Signal, texts: Sequence[bytes]) -> Callable[[random.Random], Bends]:
    tokens = [json.dumps(text.decode()) for text in texts]
    return lambda rng: JsonMutator(json_record_seeds(signal), rng, tokens=tokens)


def _otlp_metrics(rng: random.Random) -> Bends:
    seeds = export_seeds(Signal.METRICS)
    return PushMutator(Mutator(otlp_descriptor(), seeds, rng, texts=COUNTER_TEXTS), rng)


def _otlp_metrics_json(rng: random.Random) -> Bends:
    tokens = [json.dumps(text.decode()) for text in COUNTER_TEXTS]
    return PushMutator(JsonMutator(json_export_seeds(Signal.METRICS), rng, tokens=tokens), rng)


def _envoy_metrics(rng: random.Random) -> Bends:
    mutator = Mutator(envoy_descriptor(), envoy_metrics_seeds(), rng, texts=COUNTER_TEXTS)
    return PushMutator(mutator, rng)


def _json(payload_format: PayloadFormat) -> RecordTarget:
    """Records of a source of JSON; few of each, since they are many."""
    seeds = JSON_SEEDS[payload_format]
    return RecordTarget(EntryType.RECORD, payload_format, 5, lambda rng: JsonMutator(seeds, rng))


def _text(payload_format: PayloadFormat) -> RecordTarget:
    seeds = TEXT_SEEDS[payload_format]
    return RecordTarget(
        EntryType.RECORD, payload_format, 5, lambda rng: ByteMutator(seeds, rng, pieces=PIECES)
    )


def _own(*said: dict[str, Any]) -> Callable[[random.Random], Bends]:
    seeds = [json.dumps(one, sort_keys=True).encode() for one in said]
    edges = (2**60, 2**62, 2**63 - 1)
    tokens = [str(sign * edge + more) for edge in edges for sign in (1, -1) for more in (0, 1, -1)]
    tokens += [str(NOW_NS), str(NOW_NS + 1)]
    tokens += [json.dumps(text) for text in ("mtls", "self", "ledger", "unknown", "certain")]
    return lambda rng: JsonMutator(seeds, rng, tokens=tokens)


_ABOUT: Final[dict[str, Any]] = {
    "about": LEDGER_NODE,
    "reporter": {"id": LEDGER_NODE, "spiffe_id": None},
    "from_ns": NOW_NS - 60 * S,
    "until_ns": NOW_NS,
}
_MISSING: Final = {**_ABOUT, "cause": "dropped", "missing_min": 3, "missing_max": None}
_OPENED: Final[dict[str, Any]] = {
    "transport": "grpc",
    "peer": "[2001:db8::1]:4711",
    "auth": "mtls",
    "authenticated": {
        "spiffe_id": "spiffe://cluster.local/ns/shop/sa/payments",
        "certificate_sha256": None,
        "token": "t",
        "reporters": ["sidecar~*"],
    },
    "claimed": {
        "node_id": LEDGER_NODE,
        "node_cluster": "payments",
        "log_name": "in",
        "metadata": {"NAMESPACE": "shop", "SERVICE_ACCOUNT": "payments"},
    },
}
_CLOCK: Final = stated(LEDGER_NODE, 5_000, until_ns=NOW_NS)
_CLOSED: Final = {"reason": "ended", "detail": None, "records": 3, "frames": 1}
_MINUTE: Final = {**_MISSING, "name": "ledger_minute", "received": 7}
_JSON: Final = PayloadFormat.MESHTRAIL_JSON

RECORD_TARGETS: Final = {
    "als-http": RecordTarget(EntryType.RECORD, PayloadFormat.ALS_HTTP, 18, _als_http),
    "als-tcp": RecordTarget(EntryType.RECORD, PayloadFormat.ALS_TCP, 6, _als_tcp),
    "otlp-log": RecordTarget(
        EntryType.RECORD, PayloadFormat.OTLP_LOG, 16, _otlp(Signal.LOGS, LOG_TEXTS)
    ),
    "otlp-span": RecordTarget(
        EntryType.RECORD, PayloadFormat.OTLP_SPAN, 16, _otlp(Signal.TRACES, SPAN_TEXTS)
    ),
    "otlp-log-json": RecordTarget(
        EntryType.RECORD, PayloadFormat.OTLP_LOG_JSON, 10, _otlp_json(Signal.LOGS, LOG_TEXTS)
    ),
    "otlp-span-json": RecordTarget(
        EntryType.RECORD, PayloadFormat.OTLP_SPAN_JSON, 10, _otlp_json(Signal.TRACES, SPAN_TEXTS)
    ),
    "otlp-metrics": RecordTarget(EntryType.COUNTER, PayloadFormat.OTLP_METRICS, 6, _otlp_metrics),
    "otlp-metrics-json": RecordTarget(
        EntryType.COUNTER, PayloadFormat.OTLP_METRICS_JSON, 4, _otlp_metrics_json
    ),
    "envoy-metrics": RecordTarget(
        EntryType.COUNTER, PayloadFormat.ENVOY_METRICS, 6, _envoy_metrics
    ),
    "opened": RecordTarget(
        EntryType.STREAM_OPENED, _JSON, 2, _own(_OPENED, opened_by("ledger"), opened_by("collect"))
    ),
    "closed": RecordTarget(EntryType.STREAM_CLOSED, _JSON, 2, _own(_CLOSED)),
    "clock": RecordTarget(
        EntryType.CLOCK, _JSON, 3, _own(_CLOCK, stated(LEDGER_NODE, None, until_ns=NOW_NS))
    ),
    "counter": RecordTarget(EntryType.COUNTER, _JSON, 2, _own(_MINUTE)),
    "gap": RecordTarget(EntryType.GAP, _JSON, 2, _own(_MISSING)),
    **{FORMAT_NAMES[one]: _json(one) for one in JSON_SEEDS},
    **{FORMAT_NAMES[one]: _text(one) for one in TEXT_SEEDS},
    "finding": RecordTarget(EntryType.FINDING, _JSON, 2, _own(_ABOUT | {"cause": "unpaired"})),
}
"""By name: what is counted under it."""
