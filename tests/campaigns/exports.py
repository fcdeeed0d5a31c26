"""Mutated exports and pushes of counters: through cutting, a collector, its journal, the intake."""

from __future__ import annotations

import gzip
import json
import random  # noqa: TID251 - seeded: the same batch each time
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.collect.payloads import encode_json
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.log.intake import make_entries
from meshtrail.model.entry import EntryFlags, PayloadFormat
from meshtrail.sources.counter_schema import envoy_descriptor
from meshtrail.sources.counters import cut_envoy_metrics
from meshtrail.sources.otlp_frame import Signal
from meshtrail.sources.otlp_resource import decode_json_resource, decode_resource
from meshtrail.units import UnixNanos
from tests.campaigns.export_oracle import differs_from_push, expect_parts
from tests.campaigns.journal_checks import check_entries, check_streams
from tests.campaigns.json_mutator import JsonMutator
from tests.campaigns.mutator import Mutator
from tests.campaigns.otlp_seeds import (
    COUNTER_TEXTS,
    LOG_TEXTS,
    REQUESTS,
    SPAN_TEXTS,
    envoy_metrics_seeds,
    export_seeds,
    json_export_seeds,
)
from tests.campaigns.reception import Post, receive_posts
from tests.campaigns.records import minimise
from tests.otlp_messages import PATHS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.collect.export import Cut
    from meshtrail.journal import JournalSlice

SIZES: Final = (1, 10, 100, 500, 1_000, 2_000)
_LANES: Final = 20
_MESSAGES_MAX: Final = 9
_HEX_BYTES_MAX: Final = 2_000
_CLAIM_BYTES_MAX: Final = 32_768
_HTTP_PATHS: Final = {
    Signal.LOGS: "/v1/logs",
    Signal.TRACES: "/v1/traces",
    Signal.METRICS: "/v1/metrics",
}
_PUSHED: Final = "envoy-metrics"
_TEXTS: Final = {Signal.LOGS: LOG_TEXTS, Signal.TRACES: SPAN_TEXTS, Signal.METRICS: COUNTER_TEXTS}
EXPORT_TARGETS: Final = {
    **{f"otlp-{signal.name.lower()}": (signal, False) for signal in Signal},
    **{f"otlp-{signal.name.lower()}-json": (signal, True) for signal in Signal},
    _PUSHED: None,
}
"""By name: the signal, and whether it is JSON; None for pushes to Envoy's metrics service."""

Kept = tuple[PayloadFormat, bytes, bool]
"""A frame of a journal, and whether it says that it came before."""


class Item(NamedTuple):
    """An export or a push, and the target that it counts for."""

    target: str
    body: bytes

    @property
    def export(self) -> OtlpExport:
        """As its door takes it."""
        said = EXPORT_TARGETS[self.target]
        assert said is not None
        return OtlpExport(body=self.body, signal=said[0], is_json=said[1])


def make_batch(seed: int, number: int) -> list[Item]:
    """The items of a batch; the same for the same seed and number."""
    rng = random.Random(f"exports {seed} {number}")  # noqa: S311 - as above
    mutators: dict[str, Mutator | JsonMutator] = {}
    items: list[Item] = []
    for name in rng.choices(list(EXPORT_TARGETS), k=rng.choice(SIZES)):
        if name not in mutators:
            mutators[name] = _mutator(name, rng)
        chance = rng.random()
        if chance < 0.04 and items:
            items.append(rng.choice(items))
        else:
            mutator = mutators[name]
            items.append(Item(name, mutator.valid() if chance < 0.15 else mutator.mutate()))
    return items


def _mutator(name: str, rng: random.Random) -> Mutator | JsonMutator:
    said = EXPORT_TARGETS[name]
    if said is None:
        return Mutator(envoy_descriptor(), envoy_metrics_seeds(), rng, texts=COUNTER_TEXTS)
    signal, is_json = said
    texts = _TEXTS[signal]
    if is_json:
        tokens = [json.dumps(text.decode()) for text in texts]
        return JsonMutator(json_export_seeds(signal), rng, tokens=tokens)
    return Mutator(REQUESTS[signal].DESCRIPTOR, export_seeds(signal), rng, texts=texts)


def check_batch(items: Sequence[Item]) -> dict[str, Any]:
    """Cut, collect, seal as far as entries and events; every item must be accounted for.

    Returns:
        Counts that add up, and ``differences``.
    """
    exports = [item for item in items if item.target != _PUSHED]
    pushes = [item.body for item in items if item.target == _PUSHED]
    cuts = [item.export.cut() for item in exports]
    faults = [
        _describe(item, fault)
        for item, cut in zip(exports, cuts, strict=True)
        if (fault := find_fault(item, cut)) is not None
    ]
    streams = [pushes[at : at + _MESSAGES_MAX] for at in range(0, len(pushes), _MESSAGES_MAX)]
    wanted = expect_kept(exports, cuts)
    for messages in streams:
        kept, found = expect_pushed(messages)
        wanted.update(kept)
        faults += found
    slices, wrong = _send(exports, cuts, streams)
    batch = make_entries(slices, after_ns=UnixNanos(0))
    faults += [*wrong, *check_journal(slices, wanted), *check_entries(batch, slices)]
    return {
        "exports": len(items),
        **Counter(item.target for item in items),
        "refused": sum(cut.refusal is not None for cut in cuts),
        "kept_whole": sum(
            count
            for (payload_format, _, _), count in wanted.items()
            if "FRAME" in payload_format.name
        ),
        "entries": len(batch.entries),
        "differences": faults,
    }


def _describe(item: Item, fault: str) -> dict[str, Any]:
    """A fault, its body cut down to what shows it."""

    def is_same(less: bytes) -> bool:
        found = item._replace(body=less)
        return find_fault(found, found.export.cut()) == fault

    body = minimise(item.body, is_same)
    return {"fault": fault, "target": item.target, "hex": body[:_HEX_BYTES_MAX].hex()}


def find_fault(item: Item, cut: Cut) -> str | None:
    """What is wrong with a cut, held against what a plain reader finds in the body."""
    pieces = [piece for part in cut.parts for piece in part.pieces]
    if cut.refusal is not None:
        whole = [(PayloadFormat.OTLP_FRAME, item.body)]
        is_kept = [(piece.payload_format, piece.data) for piece in pieces] == whole
        return None if is_kept else "refused, and not kept whole"
    export = item.export
    try:
        if export.signal is Signal.METRICS:
            if item.body in [piece.data for piece in pieces if not piece.is_counters]:
                return None
            payload = next((piece.data for piece in pieces), None)
            form = "json" if export.is_json else "protobuf"
            return differs_from_push(item.body, payload, form=form)
        wanted = expect_parts(item.body, export.signal, is_json=export.is_json)
    except ValueError as error:
        return f"taken, and a plain reader says {error}"
    got = [
        (part.identifier, [(piece.data, piece.records_count) for piece in part.pieces])
        for part in cut.parts
    ]
    if got != wanted:
        return "cut otherwise than a plain reader cuts it"
    return next(
        (fault for part in cut.parts if (fault := _claim_fault(part.identifier, export))), None
    )


def _claim_fault(resource: bytes | None, export: OtlpExport) -> str | None:
    """Whether what a sender says of itself is read or refused, and short enough for an entry."""
    if resource is None:
        return None
    try:
        claimed = (decode_json_resource if export.is_json else decode_resource)(resource)
    except InputError:
        return None
    return "long claim" if len(encode_json(claimed)) > _CLAIM_BYTES_MAX else None


def expect_kept(exports: Sequence[Item], cuts: Sequence[Cut]) -> Counter[Kept]:
    """What has to be journaled of exports; of equal ones all but one say that they came before."""
    kept: Counter[Kept] = Counter()
    seen: set[Item] = set()
    for item, cut in zip(exports, cuts, strict=True):
        for part in cut.parts:
            kept.update((piece.payload_format, piece.data, item in seen) for piece in part.pieces)
        seen.add(item)
    return kept


def expect_pushed(messages: Sequence[bytes]) -> tuple[list[Kept], list[dict[str, Any]]]:
    """What a stream of pushes becomes, and what is wrong with how they are cut."""
    kept: list[Kept] = []
    faults = []
    for at, message in enumerate(messages):
        try:
            cut = cut_envoy_metrics(message)
        except InputError:
            kept.append((PayloadFormat.ENVOY_METRICS_FRAME, message, False))
            continue
        if at and cut.identifier is not None:
            kept.append((PayloadFormat.ENVOY_METRICS_FRAME, message, False))
        if cut.kept_count + cut.left_out_count:
            kept.append((PayloadFormat.ENVOY_METRICS, cut.payload, False))
        try:
            fault = differs_from_push(message, cut.payload, form="envoy")
        except ValueError as error:
            fault = f"taken, and a plain reader says {error}"
        if fault is not None:
            hexed = message[:_HEX_BYTES_MAX].hex()
            faults.append({"fault": fault, "target": _PUSHED, "hex": hexed})
    return kept, faults


def check_journal(slices: Sequence[JournalSlice], wanted: Counter[Kept]) -> list[dict[str, Any]]:
    """Every stream in order, and exactly what has to be journaled."""
    faults, streams = check_streams(slices)
    got = Counter(
        (
            PayloadFormat(row["payload_format"]),
            data,
            bool(row["flags"] & EntryFlags.DUPLICATE),
        )
        for rows in streams
        for row, data in rows
        if row["framing"] == Framing.OTLP or row["payload_format"] != PayloadFormat.MESHTRAIL_JSON
    )
    for fault, kept in (("lost", wanted - got), ("not expected", got - wanted)):
        faults += [
            {
                "fault": fault,
                "format": payload_format.name,
                "is_duplicate": is_duplicate,
                "hex": data[:_HEX_BYTES_MAX].hex(),
            }
            for payload_format, data, is_duplicate in list(kept)[:2]
        ]
    return faults


def _send(
    exports: Sequence[Item], cuts: Sequence[Cut], streams: Sequence[Sequence[bytes]]
) -> tuple[list[JournalSlice], list[dict[str, Any]]]:
    """Send everything; what the journal holds, and answers and alarms that are wrong."""
    lanes: list[list[tuple[Post, str]]] = [[] for _ in range(2 * _LANES)]
    for at, (item, cut) in enumerate(zip(exports, cuts, strict=True)):
        is_grpc = not item.export.is_json and at % 3 == 0
        lanes[at % _LANES + (0 if is_grpc else _LANES)].append(
            (_post(item, at, is_grpc=is_grpc), _answer(cut, is_grpc=is_grpc))
        )
    posts = [[post for post, _ in lane] for lane in lanes]
    with tempfile.TemporaryDirectory() as folder:
        slices, alarms, answers = receive_posts(
            posts[:_LANES], posts[_LANES:], streams, Path(folder)
        )
    faults: list[dict[str, Any]] = [{"fault": "alarm", "alarm": alarm} for alarm in alarms]
    for lane, found in zip(lanes, answers, strict=True):
        for (post, want), got in zip(lane, found, strict=True):
            if got != want:
                hexed = post.body[:_HEX_BYTES_MAX].hex()
                faults.append({"fault": "answer", "got": got, "want": want, "hex": hexed})
    return slices, faults


def _post(item: Item, at: int, *, is_grpc: bool) -> Post:
    signal, is_json = item.export.signal, item.export.is_json
    if is_grpc:
        return Post(PATHS[signal], item.body)
    kind = "application/json" if is_json else "application/x-protobuf"
    if at % 5 == 0:
        return Post(_HTTP_PATHS[signal], gzip.compress(item.body, 1), kind, "gzip")
    return Post(_HTTP_PATHS[signal], item.body, kind)


def _answer(cut: Cut, *, is_grpc: bool) -> str:
    """What docs/bad-input.md says that the sender hears."""
    is_taken = cut.refusal is None or isinstance(cut.refusal.facts.get("records_count"), int)
    if is_grpc:
        return "OK" if is_taken else "INVALID_ARGUMENT"
    return "200" if is_taken else "400"
