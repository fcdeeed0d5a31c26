from __future__ import annotations

import hashlib
import json

import pytest

from meshtrail.errors import InputError
from meshtrail.sources.counter_json import BODY_BYTES_MAX
from meshtrail.sources.counter_slices import (
    FIELDS_COUNT_MAX,
    HEAD,
    KEPT_BYTES_MAX,
    KEPT_JSON_BYTES_MAX,
    SMALL_POINTS_MAX,
    CutCounters,
    split_payload,
)
from meshtrail.sources.counters import cut_envoy_metrics, cut_otlp_metrics
from tests.als_messages import identifier, length_delimited, varint
from tests.counter_pushes import (
    envoy_message,
    family,
    metric,
    otlp_message,
    point,
)

STARTED = family("http.inbound.downstream_rq_total", 3.0)
ACTIVE = family("http.inbound.downstream_rq_active", 1.0, is_gauge=True)
OTHER = family("http.inbound.downstream_cx_rx_bytes_total", 4096.0)
LONG = family("cluster.x.membership_total", labels={"note": "y" * 200})
M_STARTED = metric("http.downstream_rq_total", point(3))
M_OTHER = metric("http.downstream_cx_rx_bytes_total", point(4096))


def fields(*families: bytes) -> list[bytes]:
    return [length_delimited(2, item) for item in families]


def digest_of(cut: CutCounters) -> bytes:
    digest: bytes = HEAD.unpack_from(cut.payload)[0]
    return digest


def test_kept_families_stand_as_they_came_and_the_rest_is_accounted_for() -> None:
    cut = cut_envoy_metrics(envoy_message(LONG, STARTED, OTHER, OTHER, ACTIVE, OTHER))
    assert (cut.kept_count, cut.left_out_count, cut.identifier) == (2, 4, None)
    left_out = b"".join(fields(LONG, OTHER, OTHER, OTHER))
    assert digest_of(cut) == hashlib.sha256(left_out).digest()
    assert split_payload(cut.payload) == (4, envoy_message(STARTED, ACTIVE))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_identifier_is_neither_kept_nor_left_out_wherever_it_stands(at: int) -> None:
    parts = fields(STARTED, OTHER)
    parts.insert(at, length_delimited(1, identifier()))
    cut = cut_envoy_metrics(b"".join(parts))
    assert cut.identifier == identifier()
    assert split_payload(cut.payload) == (1, envoy_message(STARTED))
    assert digest_of(cut) == hashlib.sha256(fields(OTHER)[0]).digest()


def test_lengths_in_a_longer_form_than_needed_stay_as_they_are() -> None:
    odd = b"\x12" + bytes([len(STARTED) | 0x80, 0x80, 0x00]) + STARTED
    assert len(STARTED) < 0x80
    cut = cut_envoy_metrics(odd)
    assert split_payload(cut.payload) == (0, odd)


def test_name_that_does_not_stand_first_is_found_all_the_same() -> None:
    moved = b"\x18\x00" + length_delimited(1, b"server.uptime")
    cut = cut_envoy_metrics(envoy_message(moved, b"\x18\x00", b""))
    assert (cut.kept_count, cut.left_out_count) == (1, 2)


def test_message_without_families_is_cut_to_nothing() -> None:
    cut = cut_envoy_metrics(b"")
    assert (cut.kept_count, cut.left_out_count) == (0, 0)
    assert split_payload(cut.payload) == (0, b"")
    assert digest_of(cut) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(
    "message",
    [
        b"\xff",
        b"\x12",
        b"\x12\x05abc",
        b"\x12\x80",
        b"\x10\x01",
        b"\x1a\x00",
        b"\x0b\x0c",
        b"\x00\x01",
        b"\x12" + b"\xff" * 10,
        length_delimited(2, b"\x0a\x7f"),
        envoy_message(STARTED) + b"\x08\x01",
        # What would be kept cannot be read: a label that is no text.
        envoy_message(length_delimited(1, b"server.uptime") + b"\x22\x04\x0a\x02\x0a\xff"),
    ],
)
def test_what_is_no_such_message_is_refused(message: bytes) -> None:
    with pytest.raises(InputError):
        cut_envoy_metrics(message)


def test_otlp_metrics_keep_what_stands_around_them() -> None:
    resource = length_delimited(1, length_delimited(1, b"service.name"))
    scope = [length_delimited(1, length_delimited(1, b"envoy")), length_delimited(3, b"s")]
    metrics = fields(M_OTHER, M_STARTED, M_OTHER)
    parts = [length_delimited(1, resource), length_delimited(3, b"url")]
    body = length_delimited(1, b"".join([*parts, length_delimited(2, b"".join(scope + metrics))]))
    cut = cut_otlp_metrics(body, is_json=False)
    kept = length_delimited(2, b"".join([*scope, *fields(M_STARTED)]))
    assert split_payload(cut.payload) == (2, length_delimited(1, b"".join([*parts, kept])))
    assert digest_of(cut) == hashlib.sha256(b"".join(fields(M_OTHER, M_OTHER))).digest()
    assert (cut.kept_count, cut.left_out_count) == (1, 2)


def test_otlp_of_several_resources_stays_several() -> None:
    body = otlp_message(M_STARTED, resource=b"") + otlp_message(M_OTHER, resource=None)
    cut = cut_otlp_metrics(body, is_json=False)
    assert split_payload(cut.payload) == (1, otlp_message(M_STARTED) + otlp_message(resource=None))


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x12\x00",
        length_delimited(1, b"\x20\x01"),
        length_delimited(1, length_delimited(2, b"\x22\x00")),
        length_delimited(1, b"\x12\x7f"),
        otlp_message(length_delimited(1, b"server.uptime") + b"\x2a\x03\x0a\x01\xff"),
    ],
)
def test_what_is_no_such_export_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        cut_otlp_metrics(body, is_json=False)


def test_json_metrics_stay_as_they_are_spelled() -> None:
    started = '{ "name":"http.downstream_rq_total", "sum":{"dataPoints":[{"asInt":"3"}]} }'
    other = '{"name": "http.downstream_cx_total"}'
    resource = '{"attributes": []}'
    body = (
        f'{{"resourceMetrics": [{{"resource":{resource}, "schemaUrl":"u", "scopeMetrics": '
        f'[{{"scope" : {{}}, "metrics": [{other}, {started}, {other}]}}]}}]}}'
    )
    cut = cut_otlp_metrics(body.encode(), is_json=True)
    assert (cut.kept_count, cut.left_out_count) == (1, 2)
    assert digest_of(cut) == hashlib.sha256(2 * other.encode()).digest()
    split = split_payload(cut.payload)
    assert split is not None
    assert started.encode() in split[1]
    assert resource.encode() in split[1]
    assert json.loads(split[1])["resourceMetrics"][0]["schemaUrl"] == "u"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"resourceMetrics": 1}',
        b'{"resourceSpans": []}',
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [7]}]}]}',
        b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "\\ud800"}]}]}]}',
        (
            b'{"resourceMetrics": [{"scopeMetrics": [{"metrics": '
            b'[{"name": "server.uptime", "gauge": 3}]}]}]}'
        ),
        b'{"resourceMetrics": [{"resource": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    ],
)
def test_json_that_is_no_such_export_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        cut_otlp_metrics(body, is_json=True)


def test_names_that_fill_a_varint_of_two_bytes_are_read() -> None:
    name = "http." + "x" * 300 + ".downstream_rq_total"
    assert varint(len(name)) != bytes([len(name) & 0xFF])
    assert cut_envoy_metrics(envoy_message(family(name))).kept_count == 1


@pytest.mark.parametrize("kept", [KEPT_BYTES_MAX - 100, KEPT_BYTES_MAX])
def test_no_more_is_kept_of_a_push_than_can_be_derived(kept: int) -> None:
    name = length_delimited(1, b"server.uptime")
    long = envoy_message(name + length_delimited(2, b"x" * kept))
    exported = otlp_message(name + length_delimited(2, b"x" * kept))
    if len(long) <= KEPT_BYTES_MAX:
        assert cut_envoy_metrics(long).kept_count == 1
        assert cut_otlp_metrics(exported, is_json=False).kept_count == 1
    else:
        with pytest.raises(InputError, match="would be kept"):
            cut_envoy_metrics(long)
        with pytest.raises(InputError, match="would be kept"):
            cut_otlp_metrics(exported, is_json=False)


def test_no_more_is_kept_of_json_than_can_be_derived() -> None:
    def spelled(filler: int) -> bytes:
        metric_ = f'{{"name":"server.uptime","unit":"{"x" * filler}"}}'
        return f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metric_}]}}]}}]}}'.encode()

    assert cut_otlp_metrics(spelled(KEPT_JSON_BYTES_MAX - 100), is_json=True).kept_count == 1
    with pytest.raises(InputError, match="would be kept"):
        cut_otlp_metrics(spelled(KEPT_JSON_BYTES_MAX), is_json=True)


def test_more_families_than_anyone_sends_are_refused() -> None:
    assert cut_envoy_metrics(b"\x12\x00" * FIELDS_COUNT_MAX).left_out_count == FIELDS_COUNT_MAX
    with pytest.raises(InputError, match="more than"):
        cut_envoy_metrics(b"\x12\x00" * (FIELDS_COUNT_MAX + 1))
    # A resource with a scope in it, and the metrics of that.
    most = [b""] * (FIELDS_COUNT_MAX - 2)
    cut = cut_otlp_metrics(otlp_message(*most, resource=None), is_json=False)
    assert cut.left_out_count == len(most)
    with pytest.raises(InputError, match="more than"):
        cut_otlp_metrics(otlp_message(*most, b"", resource=None), is_json=False)


def test_name_is_not_looked_for_behind_a_heap_of_fields() -> None:
    name = length_delimited(1, b"server.uptime")
    assert cut_envoy_metrics(envoy_message(b"\x18\x00" * 7 + name)).kept_count == 1
    assert cut_envoy_metrics(envoy_message(b"\x18\x00" * 8 + name)).kept_count == 0


def cut_of_empty_points(kind: str, points_count: int) -> CutCounters:
    if kind == "envoy":
        name = length_delimited(1, b"server.uptime")
        return cut_envoy_metrics(envoy_message(name + b"\x22\x00" * points_count))
    if kind == "otlp":
        exported = otlp_message(metric("server.uptime", *[b""] * points_count))
        return cut_otlp_metrics(exported, is_json=False)
    empty = ",".join(["{}"] * points_count)
    named = f'{{"name":"server.uptime","gauge":{{"dataPoints":[{empty}]}}}}'
    spelled = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{named}]}}]}}]}}'
    return cut_otlp_metrics(spelled.encode(), is_json=True)


@pytest.mark.parametrize("kind", ["envoy", "otlp", "json"])
def test_numbers_too_small_to_be_any_are_refused_when_they_are_many(kind: str) -> None:
    assert cut_of_empty_points(kind, SMALL_POINTS_MAX).kept_count == 1
    with pytest.raises(InputError, match="numbers in"):
        cut_of_empty_points(kind, SMALL_POINTS_MAX + 1)


def test_json_that_would_keep_others_waiting_is_refused() -> None:
    metrics = ",".join(["{}"] * FIELDS_COUNT_MAX)
    body = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}'.encode()
    with pytest.raises(InputError, match="more than"):
        cut_otlp_metrics(body, is_json=True)
    with pytest.raises(InputError, match="at most"):
        cut_otlp_metrics(b" " * (BODY_BYTES_MAX + 1), is_json=True)
