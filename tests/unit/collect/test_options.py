from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshtrail.collect import CollectOptions
from meshtrail.collect.options import WebhookOptions
from meshtrail.errors import ConfigError

TLS: dict[str, Any] = {"tls_cert": Path("c"), "tls_key": Path("k")}
MTLS: dict[str, Any] = {**TLS, "tls_client_ca": Path("a")}
TOKENS: dict[str, Any] = {"tokens": Path("t")}
XFCC: dict[str, Any] = {"xfcc_from": ("10.0.0.7", "fd00::/8")}


def test_default_is_plaintext_on_loopback_at_the_port_of_otlp() -> None:
    options = CollectOptions()
    assert options.grpc == "127.0.0.1:4317"
    assert not options.is_mtls
    assert options.message_bytes_max == 16 << 20
    assert options.streams_max == 10_000


@pytest.mark.parametrize("given", [{}, TLS])
@pytest.mark.parametrize("address", ["0.0.0.0:4317", "10.0.0.1:4317", "[::]:4317", "host:4317"])
def test_listener_beyond_loopback_without_authentication_is_refused(
    address: str, given: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match=r"give tls_cert, .* or listen on 127\.0\.0\.1"):
        CollectOptions(grpc=address, **given)
    CollectOptions(**given)


@pytest.mark.parametrize(
    "given", [MTLS, TLS | TOKENS, MTLS | TOKENS, XFCC, TLS | XFCC, TLS | TOKENS | XFCC]
)
def test_listener_beyond_loopback_starts_with_authentication(given: dict[str, Any]) -> None:
    CollectOptions(grpc="[::]:4317", **given)


@pytest.mark.parametrize("given", [TOKENS, TOKENS | XFCC])
def test_tokens_in_the_clear_are_taken_on_loopback_only(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="tokens would be sent in the clear"):
        CollectOptions(grpc="10.0.0.1:4317", **given)
    CollectOptions(grpc="[::1]:4317", **given)


def test_any_listener_can_be_held_to_the_same_rules() -> None:
    CollectOptions(**MTLS).check_listener("0.0.0.0:4318", door="otlp_http")
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0:4318 is not a loopback address"):
        CollectOptions(**TLS).check_listener("0.0.0.0:4318", door="otlp_http")


@pytest.mark.parametrize("door", ["grpc", "otlp_http"])
@pytest.mark.parametrize("given", [{}, TOKENS])
def test_listener_that_is_refused_is_named_by_its_option(door: str, given: dict[str, Any]) -> None:
    doors: dict[str, Any] = {door: "0.0.0.0:9999"}
    with pytest.raises(ConfigError, match=rf"^{door} 0\.0\.0\.0:9999 is not") as caught:
        CollectOptions(**doors, **given)
    assert caught.value.key == f"collect.{door}"


@pytest.mark.parametrize("missing", TLS)
def test_certificate_without_its_key_is_refused(missing: str) -> None:
    tls: dict[str, Any] = MTLS | {missing: None}
    with pytest.raises(ConfigError, match="both of tls_cert and tls_key"):
        CollectOptions(**tls)


def test_client_ca_without_a_certificate_of_the_server_is_refused() -> None:
    with pytest.raises(ConfigError, match="tls_client_ca needs tls_cert and tls_key"):
        CollectOptions(tls_client_ca=Path("a"))


@pytest.mark.parametrize("text", ["", "host", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.1:80", "*"])
def test_what_is_no_address_or_network_forwards_nothing(text: str) -> None:
    with pytest.raises(ConfigError, match="want an address or network"):
        CollectOptions(xfcc_from=(text,))


@pytest.mark.parametrize("text", ["0.0.0.0/0", "::/0"])
def test_everybody_is_not_believed_about_certificates(text: str) -> None:
    with pytest.raises(ConfigError, match="everybody"):
        CollectOptions(xfcc_from=(text,))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "plaintext, loopback only"),
        (TLS, "TLS, loopback only"),
        (MTLS, "mTLS"),
        (TLS | TOKENS, "TLS, tokens"),
        (XFCC, "plaintext, x-forwarded-client-cert of 10.0.0.7, fd00::/8"),
    ],
)
def test_security_is_said_for_people(given: dict[str, Any], said: str) -> None:
    assert CollectOptions(**given).describe_security() == said


BOUNDS = [
    "message_bytes_max",
    "streams_max",
    "otlp_requests_max",
    "otlp_streams_max",
    "otlp_connection_streams_max",
    "otlp_connections_max",
]


@pytest.mark.parametrize("name", BOUNDS)
def test_bound_below_one_is_refused(name: str) -> None:
    bounds: dict[str, Any] = {name: 0}
    with pytest.raises(ConfigError, match=name):
        CollectOptions(**bounds)


def test_otlp_over_http_is_on_loopback_or_off() -> None:
    assert CollectOptions().otlp_http == "127.0.0.1:4318"
    assert CollectOptions().is_otlp_http_on
    assert not CollectOptions(otlp_http="off").is_otlp_http_on
    for address in ("0.0.0.0:4318", "[::]:4318", "collector:4318"):
        with pytest.raises(ConfigError, match="not a loopback address"):
            CollectOptions(otlp_http=address)
    with pytest.raises(ConfigError, match="is not an address"):
        CollectOptions(otlp_http="on")


def test_room_for_exports_is_enough_for_the_largest_packed_and_unpacked() -> None:
    CollectOptions(message_bytes_max=1_000, otlp_bytes_max=4_000)
    with pytest.raises(ConfigError, match="otlp_bytes_max must be at least 4 times"):
        CollectOptions(message_bytes_max=1_000, otlp_bytes_max=3_999)


GITHUB: dict[str, Any] = {"webhooks": WebhookOptions(github_secret_file=Path("s"))}
GITLAB: dict[str, Any] = {"webhooks": WebhookOptions(gitlab_secret_file=Path("s"))}


@pytest.mark.parametrize("webhooks", [GITHUB, GITLAB])
def test_secrets_of_webhooks_open_the_http_door_alone_and_only_with_tls(
    webhooks: dict[str, Any],
) -> None:
    CollectOptions(otlp_http="0.0.0.0:4318", **TLS, **webhooks)
    with pytest.raises(ConfigError, match=r"grpc .* senders would not be authenticated"):
        CollectOptions(grpc="0.0.0.0:4317", **TLS, **webhooks)
    with pytest.raises(ConfigError, match=r"^otlp_http 0\.0\.0\.0:4318 is not a loopback"):
        CollectOptions(otlp_http="0.0.0.0:4318", **webhooks)
    CollectOptions(otlp_http="[::1]:4318", **webhooks)


def test_a_secret_is_not_sent_in_the_clear_behind_a_proxy_either() -> None:
    CollectOptions(otlp_http="0.0.0.0:4318", **XFCC, **GITHUB)
    with pytest.raises(ConfigError, match="GitLab would send its secret in the clear"):
        CollectOptions(otlp_http="0.0.0.0:4318", **XFCC, **GITLAB)


def test_secrets_of_webhooks_are_said_for_people() -> None:
    assert CollectOptions(**TLS, **GITHUB).describe_security() == (
        "TLS, secrets of webhooks, loopback only"
    )
    assert not WebhookOptions().is_on
