from __future__ import annotations

import json
import math

import pytest
from envoy.service.accesslog.v3 import als_pb2
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.errors import InputError
from meshtrail.sources.als_identifier import IDENTIFIER_BYTES_MAX, decode_identifier
from meshtrail.sources.claims import METADATA_BYTES_MAX
from tests.als_messages import INVALID_UTF8, identifier, length_delimited

JSON_BYTES_MAX = 20_480


def with_metadata(metadata: dict[str, object]) -> bytes:
    message = als_pb2.StreamAccessLogsMessage.Identifier()
    message.node.metadata.update(metadata)
    return bytes(message.SerializeToString())


def test_claims_of_an_istio_sidecar_are_the_telling_part_of_its_identifier() -> None:
    message = als_pb2.StreamAccessLogsMessage.Identifier(log_name="http_envoy_accesslog")
    node = message.node
    node.id = "sidecar~10.0.0.7~payments-x1.shop~shop.svc.cluster.local"
    node.cluster = "payments.shop"
    node.user_agent_name = "envoy"
    version = node.user_agent_build_version.version
    version.major_number, version.minor_number, version.patch = 1, 40, 2
    for index in range(1_000):
        node.extensions.add(name=f"envoy.filters.{index}")
    node.metadata.update(
        {
            "NAMESPACE": "shop",
            "LABELS": {"app": "payments", "version": "v2"},
            "APP_CONTAINERS": ["payments", "sidecar"],
            "INSTANCE_IPS": 3,
            "PROXY_CONFIG": {"left": "out"},
        }
    )
    assert decode_identifier(message.SerializeToString()) == {
        "node_id": "sidecar~10.0.0.7~payments-x1.shop~shop.svc.cluster.local",
        "node_cluster": "payments.shop",
        "log_name": "http_envoy_accesslog",
        "user_agent": "envoy/1.40.2",
        "metadata": {
            "NAMESPACE": "shop",
            "LABELS": {"app": "payments", "version": "v2"},
            "APP_CONTAINERS": ["payments", "sidecar"],
            "INSTANCE_IPS": 3,
        },
    }


def test_what_a_sender_does_not_say_is_none() -> None:
    assert decode_identifier(b"") == {
        "node_id": None,
        "node_cluster": None,
        "log_name": None,
        "user_agent": None,
        "metadata": None,
    }


def test_version_that_is_only_a_text_is_taken_as_it_is() -> None:
    message = als_pb2.StreamAccessLogsMessage.Identifier()
    message.node.user_agent_name = "x"
    message.node.user_agent_version = "dev"
    assert decode_identifier(message.SerializeToString())["user_agent"] == "x/dev"


def test_long_text_is_cut_with_a_mark() -> None:
    claims = decode_identifier(identifier(node_id="n" * 200_000))
    assert claims["node_id"] == "n" * 512 + "…"


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("t", "t"),
        (8080.0, 8080),
        (0.5, 0.5),
        (2.0**60, 2.0**60),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (True, True),
        (None, None),
        ([], []),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, {"a": {"b": {"c": {"d": "…"}}}}),
        (list(range(66)), [*range(64), "…"]),
        ({f"{n:02}": n for n in range(66)}, {f"{n:02}": n for n in range(64)} | {"…": "…"}),
    ],
)
def test_values_of_metadata_become_json_and_are_cut_to_fit(value: object, want: object) -> None:
    assert decode_identifier(with_metadata({"LABELS": value}))["metadata"] == {"LABELS": want}


def test_metadata_that_does_not_fit_is_left_out_from_the_end_with_a_mark() -> None:
    large = {f"label-{n}": "x" * 100 for n in range(60)}
    claims = decode_identifier(
        with_metadata({"NAMESPACE": "shop", "LABELS": large, "OWNER": large, "NODE_NAME": "n1"})
    )
    assert claims["metadata"] == {
        "NAMESPACE": "shop",
        "OWNER": large,
        "LABELS": "…",
        "NODE_NAME": "n1",
    }


@pytest.mark.parametrize(
    "claims",
    [
        b"\x12\x05abc",
        length_delimited(1, length_delimited(1, INVALID_UTF8)),
        length_delimited(2, INVALID_UTF8),
        identifier()[:-1],
    ],
)
def test_identifier_that_cannot_be_decoded_is_an_input_error(claims: bytes) -> None:
    with pytest.raises(InputError, match=f"identifier of {len(claims)} bytes"):
        decode_identifier(claims)


def test_metadata_nested_beyond_what_protobuf_follows_is_an_input_error() -> None:
    value = struct_pb2.Value(string_value="x").SerializeToString()
    for _ in range(200):
        value = length_delimited(6, length_delimited(1, value))
    entry = length_delimited(1, b"LABELS") + length_delimited(2, value)
    claims = length_delimited(1, length_delimited(3, length_delimited(1, entry)))
    with pytest.raises(InputError):
        decode_identifier(claims)


def test_duplicate_metadata_keys_leave_the_last_one() -> None:
    def entry(text: str) -> bytes:
        value = struct_pb2.Value(string_value=text).SerializeToString()
        return length_delimited(1, length_delimited(1, b"OWNER") + length_delimited(2, value))

    claims = length_delimited(1, length_delimited(3, entry("first") + entry("last")))
    assert decode_identifier(claims)["metadata"] == {"OWNER": "last"}


@given(
    st.dictionaries(
        st.sampled_from(["NAMESPACE", "LABELS", "OWNER", "NAME", "APP_CONTAINERS"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=700),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
            max_leaves=40,
        ),
    ),
    st.text(),
)
def test_claims_are_bounded_json_whatever_a_sender_says(
    metadata: dict[str, object], node_id: str
) -> None:
    message = als_pb2.StreamAccessLogsMessage.Identifier()
    message.node.metadata.update(metadata)
    message.node.id = node_id
    claims = decode_identifier(message.SerializeToString())
    encoded = json.dumps(claims, ensure_ascii=False, allow_nan=False).encode()
    assert len(encoded) <= JSON_BYTES_MAX
    assert len(json.dumps(claims["metadata"], ensure_ascii=False).encode()) <= METADATA_BYTES_MAX


@given(st.binary(max_size=300))
def test_identifier_decoder_raises_only_input_errors(data: bytes) -> None:
    try:
        json.dumps(decode_identifier(data), allow_nan=False)
    except InputError:
        return


def test_identifier_too_large_to_be_looked_into_claims_nothing() -> None:
    with pytest.raises(InputError, match="at most 262144 are read"):
        decode_identifier(bytes(IDENTIFIER_BYTES_MAX + 1))
