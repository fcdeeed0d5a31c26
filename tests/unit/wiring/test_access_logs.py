from __future__ import annotations

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.wiring.access_logs import (
    BUFFER_BYTES,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    RESPONSE_TRAILERS,
    TAGS,
    LogNames,
    format_headers,
    format_http_log,
    format_tcp_log,
    make_log_names,
)

SECRET = ("authorization", "cookie", "proxy-authorization", "set-cookie", "x-api-key")


def test_logs_are_named_as_istio_names_them_unless_somebody_says_otherwise() -> None:
    assert make_log_names(None) == LogNames(
        "http_envoy_accesslog", "tcp_envoy_accesslog", "listener_envoy_accesslog"
    )
    assert make_log_names("shop") == LogNames("shop_http", "shop_tcp", "shop_listener")
    with pytest.raises(ConfigError, match="--log-name"):
        make_log_names("Shop")


def test_http_log_asks_for_the_headers_that_events_are_made_of_and_for_no_secret() -> None:
    [log] = yaml.safe_load(format_http_log("a", cluster="b"))
    config = log["typed_config"]
    assert config["additional_request_headers_to_log"] == list(REQUEST_HEADERS)
    assert config["additional_response_headers_to_log"] == list(RESPONSE_HEADERS)
    assert config["additional_response_trailers_to_log"] == list(RESPONSE_TRAILERS)
    assert not {*REQUEST_HEADERS, *RESPONSE_HEADERS, *RESPONSE_TRAILERS}.intersection(SECRET)


def test_both_logs_say_where_to_and_how_much_they_may_hold() -> None:
    for text in (format_http_log("a", cluster="b|c"), format_tcp_log("a", cluster="b|c")):
        [log] = yaml.safe_load(text)
        assert log["typed_config"]["common_config"] == {
            "log_name": "a",
            "transport_api_version": "V3",
            "grpc_service": {"envoy_grpc": {"cluster_name": "b|c"}},
            "buffer_flush_interval": "0.25s",
            "buffer_size_bytes": BUFFER_BYTES,
        }


def test_tcp_log_keeps_what_chooses_among_its_records() -> None:
    [log] = yaml.safe_load(format_tcp_log("a", cluster="b", filtered="  filter: {x: 1}\n"))
    assert log["filter"] == {"x": 1}


def test_tags_stand_beside_where_the_records_go() -> None:
    for text in (
        format_http_log("a", cluster="b", tags=TAGS),
        format_tcp_log("a", cluster="b", tags=TAGS),
    ):
        [log] = yaml.safe_load(text)
        config = log["typed_config"]["common_config"]
        assert [set(tag) for tag in config["custom_tags"]] == [{"tag", "value"}] * 3


def test_headers_are_the_same_in_mesh_config() -> None:
    assert yaml.safe_load(format_headers("  ")) == {
        "additionalRequestHeadersToLog": list(REQUEST_HEADERS),
        "additionalResponseHeadersToLog": list(RESPONSE_HEADERS),
        "additionalResponseTrailersToLog": list(RESPONSE_TRAILERS),
    }
