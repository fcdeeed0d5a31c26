from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import message_factory
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.claims import METADATA_BYTES_MAX
from meshtrail.sources.otlp_resource import (
    RESOURCE_BYTES_MAX,
    decode_json_resource,
    decode_resource,
)
from meshtrail.sources.otlp_schema import resource_descriptor
from tests.als_messages import INVALID_UTF8, length_delimited

RESOURCE: Any = message_factory.GetMessageClass(resource_descriptor())
JSON_BYTES_MAX = 20_480
NOTHING: dict[str, Any] = {
    "node_id": None,
    "node_cluster": None,
    "log_name": None,
    "user_agent": None,
    "metadata": None,
}


def resource(*attributes: tuple[str, str]) -> bytes:
    message = RESOURCE()
    for key, text in attributes:
        message.attributes.add(key=key).value.string_value = text
    return bytes(message.SerializeToString())


def json_resource(*attributes: tuple[str, str]) -> bytes:
    found = [{"key": key, "value": {"stringValue": text}} for key, text in attributes]
    return json.dumps({"attributes": found}).encode()


def claims(**attributes: str) -> dict[str, Any]:
    pairs = [(name.replace("__", "."), text) for name, text in attributes.items()]
    found = decode_resource(resource(*pairs))
    assert decode_json_resource(json_resource(*pairs)) == found
    return found


def test_claims_of_an_envoy_are_its_built_in_labels() -> None:
    assert claims(
        log_name="otel", zone_name="z", cluster_name="payments", node_name="sidecar~10.0.0.7~a~b"
    ) == {
        "node_id": "sidecar~10.0.0.7~a~b",
        "node_cluster": "payments",
        "log_name": "otel",
        "user_agent": None,
        "metadata": {"zone_name": "z"},
    }


def test_claims_of_an_sdk_in_a_pod_have_the_names_that_istio_gives_them() -> None:
    assert claims(
        service__name="checkout",
        host__name="node-1",
        k8s__deployment__name="checkout",
        k8s__pod__name="checkout-x1",
        k8s__namespace__name="shop",
        k8s__serviceaccount__name="cart",
        telemetry__sdk__name="opentelemetry",
        telemetry__sdk__version="1.40.0",
    ) == {
        "node_id": "checkout-x1.shop",
        "node_cluster": "checkout",
        "log_name": None,
        "user_agent": "opentelemetry/1.40.0",
        "metadata": {
            "NAMESPACE": "shop",
            "SERVICE_ACCOUNT": "cart",
            "WORKLOAD_NAME": "checkout",
            "host.name": "node-1",
        },
    }


@pytest.mark.parametrize(
    ("attributes", "node_id"),
    [
        ({"host__name": "h"}, "h"),
        ({"host__name": "h", "k8s__pod__name": "p"}, "p"),
        ({"host__name": "h", "k8s__pod__name": "", "k8s__namespace__name": "n"}, "h"),
        ({"k8s__pod__name": "p", "service__instance__id": "i"}, "i"),
        ({"service__instance__id": "i", "node_name": "n", "k8s__namespace__name": "x"}, "n"),
        ({"k8s__namespace__name": "n"}, None),
    ],
)
def test_node_id_is_the_most_telling_name(attributes: dict[str, str], node_id: str | None) -> None:
    assert claims(**attributes)["node_id"] == node_id


def test_names_that_claim_nothing_else_stand_in_the_metadata() -> None:
    found = claims(service__instance__id="i", node_name="n", host__name="h", service__name="s")
    assert found["metadata"] == {"service.instance.id": "i", "host.name": "h"}


def test_attribute_of_kubernetes_counts_more_than_one_that_has_its_name_in_istio() -> None:
    assert claims(NAMESPACE="own")["metadata"] == {"NAMESPACE": "own"}
    found = claims(NAMESPACE="own", k8s__namespace__name="shop")
    assert found["metadata"] == {"NAMESPACE": "shop"}


def test_version_of_an_sdk_without_a_name_is_told_alone() -> None:
    assert claims(telemetry__sdk__version="1")["user_agent"] == "1"


def test_resource_that_says_nothing_claims_nothing() -> None:
    assert decode_resource(b"") == decode_json_resource(b"{}") == NOTHING


def test_what_is_no_text_claims_nothing() -> None:
    message = RESOURCE()
    message.attributes.add(key="node_name").value.int_value = 7
    message.attributes.add(key="service.name")
    assert decode_resource(message.SerializeToString()) == NOTHING


def test_of_equal_keys_the_last_counts() -> None:
    data = resource(("node_name", "first"), ("node_name", "last"))
    assert decode_resource(data)["node_id"] == "last"


def test_many_attributes_are_cut_with_a_mark_and_the_most_telling_kept() -> None:
    pairs = [(f"label-{number:03}", "x" * 50) for number in range(100)]
    found = decode_resource(resource(*pairs, ("k8s.namespace.name", "shop")))["metadata"]
    assert list(found) == ["NAMESPACE", *(name for name, _ in pairs[:63]), "…"]


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x05abc",
        length_delimited(1, length_delimited(1, INVALID_UTF8)),
        resource(("a", "b"))[:-1],
    ],
)
def test_resource_that_cannot_be_decoded_is_an_input_error(data: bytes) -> None:
    with pytest.raises(InputError, match=f"resource of {len(data)} bytes"):
        decode_resource(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[]", "Resource: not an object"),
        (b'{"attributes":[{"key":1}]}', "KeyValue.key: not a text"),
        (b"[" * 101, "nested 101 deep"),
        (b"[" + b"0," * 20_000 + b"0]", "20000 commas"),
    ],
)
def test_json_resource_that_cannot_be_decoded_is_an_input_error(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        decode_json_resource(data)


@pytest.mark.parametrize("decode", [decode_resource, decode_json_resource])
def test_resource_too_large_to_be_looked_into_claims_nothing(decode: object) -> None:
    assert callable(decode)
    with pytest.raises(InputError, match="at most 262144 are read"):
        decode(bytes(RESOURCE_BYTES_MAX + 1))


NAMES = ["node_name", "service.name", "k8s.pod.name", "k8s.namespace.name", "log_name", "…", ""]


@given(st.lists(st.tuples(st.sampled_from(NAMES) | st.text(max_size=700), st.text(max_size=700))))
def test_claims_are_bounded_json_whatever_a_sender_says(attributes: list[tuple[str, str]]) -> None:
    found = decode_resource(resource(*attributes))
    encoded = json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    assert len(encoded) <= JSON_BYTES_MAX
    assert len(json.dumps(found["metadata"], ensure_ascii=False).encode()) <= METADATA_BYTES_MAX
    assert decode_json_resource(json_resource(*attributes)) == found


@given(st.binary(max_size=300))
def test_resource_decoders_raise_only_input_errors(data: bytes) -> None:
    for decode in (decode_resource, decode_json_resource):
        try:
            json.dumps(decode(data), allow_nan=False)
        except InputError:
            continue
