"""What is cut out of an OTLP export in JSON is what the standard library's parser finds in it."""

from __future__ import annotations

import json
import random  # noqa: TID251 - seeded: a failure comes again
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.otlp_frame import Signal, cut_export
from meshtrail.sources.otlp_json import JsonPart, cut_json_export, json_to_protobuf
from meshtrail.sources.otlp_resource import decode_json_resource
from tests.json_exports import payloads_by_reading, snake_case

if TYPE_CHECKING:
    from collections.abc import Sequence

MUTATIONS_COUNT = 30_000
SPACES = st.sampled_from(["", "", "", " ", "\n\t"])
VALUES = st.sampled_from(
    ["{}", "null", "7", '"]}"', "[1 , 2]", '{"a":{"b":[]},"a":"\\\\\\""}', '"é\\u00e9"', "1e999"]
)
SEEDS = [
    (
        '{"resourceLogs":[{"resource":{"attributes":[{"key":"a","value":{"stringValue":"b"}}]},'
        '"scopeLogs":[{"scope":{"name":"n"},"logRecords":[{"timeUnixNano":"1","traceId":"0a",'
        '"body":{"arrayValue":{"values":[{"intValue":"7"},{"doubleValue":1.5},'
        '{"bytesValue":"AA=="}]}}},{"severityNumber":9}],"schemaUrl":"u"}],"schemaUrl":"v"}]}'
    ),
    '{ "resource_logs" : [ { "scope_logs" : [ { "log_records" : [ {}, {"flags": 1e0} ] } ] } ] }',
    '{"resourceLogs":[{"resource":null,"scopeLogs":[{"logRecords":["\\u0041\\\\",null]}]},{}]}',
]
PIECES = [
    *('"', "\\", "\\u", "{", "}", "[", "]", ",", ":", " ", "null", "-", "1e999999", "NaN"),
    *('"resourceLogs"', '"scope_logs"', '"logRecords"', '"resource"', '"schemaUrl"', "é", "\ufeff"),
    *("[" * 120, "9" * 5_000, "\ud800", "\x00", '"\\ud800"', '"traceId":"0a"', '{"intValue":1}'),
]


def members(
    names: Sequence[str], values: dict[str, st.SearchStrategy[str]]
) -> st.SearchStrategy[str]:
    """An object with such members in any order, at times strange ones, at times twice."""
    known = [
        st.tuples(st.sampled_from([name, name, name, snake_case(name)]), values[name])
        for name in names
    ]
    strange = st.sampled_from([("x", "1"), ("", "{}"), ("instrumentationLibraryLogs", "[]")])
    usual = st.permutations([*range(len(names))]).flatmap(
        lambda order: st.tuples(*(known[at] for at in order)).flatmap(
            lambda all_of: st.integers(0, len(all_of)).map(lambda count: list(all_of[:count]))
        )
    )
    extra = st.integers(0, 9).flatmap(
        lambda chance: (
            st.lists(st.one_of(strange, *known), max_size=1 + (not chance))
            if chance < 2
            else st.just([])
        )
    )
    return st.builds(
        lambda first, more, space, colon: (
            "{"
            + space
            + f"{space},{space}".join(
                f'"{key}"{space}:{colon}{value}' for key, value in first + more
            )
            + space
            + "}"
        ),
        usual,
        extra,
        SPACES,
        SPACES,
    )


def lists(elements: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    listed = st.builds(
        lambda items, space: f"[{space}" + f"{space},{space}".join(items) + f"{space}]",
        st.lists(elements, max_size=3),
        SPACES,
    )
    return st.one_of(listed, listed, listed, st.just("null"))


def bodies(signal: Signal) -> st.SearchStrategy[str]:
    scopes = members(
        ["scope", "schemaUrl", signal.records_name],
        {"scope": VALUES, "schemaUrl": VALUES, signal.records_name: lists(VALUES)},
    )
    resources = members(
        ["resource", "schemaUrl", signal.scopes_name],
        {"resource": VALUES, "schemaUrl": VALUES, signal.scopes_name: lists(scopes)},
    )
    return members([signal.resources_name], {signal.resources_name: lists(resources)})


@settings(max_examples=250)
@given(signal=st.sampled_from(Signal), data=st.data())
def test_parts_of_any_export_are_those_that_another_parser_finds(
    signal: Signal, data: st.DataObject
) -> None:
    body = data.draw(bodies(signal)).encode()
    try:
        found = cut_json_export(body, signal)
    except InputError as error:
        assert "without" in error.message  # noqa: PT017 - the one refusal that there may be
        assert payloads_by_reading(body, signal) == []
        return
    assert found == [
        JsonPart(None if resource is None else resource.encode(), payloads, is_plain)
        for resource, payloads, is_plain in payloads_by_reading(body, signal)
    ]
    for part in found:
        for payload in part.payloads:
            assert cut_json_export(payload, signal)[0].payloads == [payload]


def test_mutated_exports_are_cut_into_json_or_refused_and_so_are_their_payloads() -> None:
    chance = random.Random(13)  # noqa: S311 - not a secret
    cut = decoded = refused = 0
    for _ in range(MUTATIONS_COUNT):
        body = mutate(chance.choice(SEEDS), chance)
        try:
            parts = cut_json_export(body, Signal.LOGS)
        except InputError:
            refused += 1
            continue
        cut += 1
        for part in parts:
            for payload in part.payloads:
                json.loads(payload, parse_int=str)
                decoded += has_protobuf(payload)
            try_resource(part.resource)
    assert min(cut, decoded, refused) > MUTATIONS_COUNT // 20


def mutate(text: str, chance: random.Random) -> bytes:
    """Insert, drop, repeat or replace a few times, in text or in bytes."""
    for _ in range(chance.choice([1, 1, 2, 4])):
        at = chance.randint(0, len(text))
        end = min(len(text), at + chance.randint(0, 12))
        piece = chance.choice([*PIECES, text[at:end], chance.choice(SEEDS)[at:end], ""])
        text = text[:at] + piece + text[chance.choice([at, end, at]) :]
    body = text.encode(errors="surrogatepass")
    if chance.random() < 0.2 and body:
        at = chance.randrange(len(body))
        body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
    return body


def has_protobuf(payload: bytes) -> bool:
    try:
        found = json_to_protobuf(payload, Signal.LOGS)
    except InputError:
        return False
    assert cut_export(found)[0].is_plain
    return True


def try_resource(resource: bytes | None) -> None:
    try:
        json.dumps(decode_json_resource(resource or b"{}"), allow_nan=False)
    except InputError:
        return


@given(text=st.text(max_size=60), signal=st.sampled_from(Signal))
def test_any_text_is_cut_or_refused(text: str, signal: Signal) -> None:
    for body in (text.encode(), f'{{"{signal.resources_name}":[{text}]}}'.encode()):
        for read in (cut_json_export, json_to_protobuf):
            try:
                read(body, signal)
            except InputError:
                continue
