"""Whatever is given as a value, it is refused, or stands in the YAML as exactly that string."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtrail.errors import ConfigError
from meshtrail.wiring import (
    AuditWiring,
    Endpoint,
    EnvoyWiring,
    FileIdentity,
    IstioWiring,
    KumaWiring,
    SdsIdentity,
    format_cilium,
    format_consul,
    format_envoy,
    format_istio,
    format_kubernetes_audit,
    format_kuma,
    format_linkerd,
    parse_endpoint,
)
from meshtrail.wiring.values import (
    check_cluster_name,
    check_log_name,
    check_namespace,
    check_path,
    check_secret_name,
    check_spiffe_id,
    is_dns_name,
    quote,
)
from tests.unit.wiring.wirings import CA, CERT, COLLECTOR, DOOR, ELSEWHERE, KEY, SERVICE

if TYPE_CHECKING:
    from collections.abc import Callable

# Alphabets near what is let through, and what breaks out of a scalar.
NEAR = st.text(alphabet="aZ0./:-_ \"'\\\n\r\t#&*!|>{}[],%@`\x85\u2028é", max_size=20)
ANY = NEAR | st.text(max_size=20) | st.sampled_from(["", "null", "on", "1e3", "~", "/", "[::]:1"])


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4317", "127.0.0.1", 4317),
        ("[::1]:1", "::1", 1),
        ("[fd00::7]:65535", "fd00::7", 65535),
        ("localhost:4317", "localhost", 4317),
        (
            "meshtrail.meshtrail.svc.cluster.local:4317",
            "meshtrail.meshtrail.svc.cluster.local",
            4317,
        ),
        ("xn--bcher-kva.example:80", "xn--bcher-kva.example", 80),
    ],
)
def test_endpoint_is_read_as_it_is_written(text: str, host: str, port: int) -> None:
    assert parse_endpoint(text) == Endpoint(host, port)
    assert parse_endpoint(text).format() == text


@pytest.mark.parametrize(
    "text",
    [
        "", ":4317", "host", "host:", "host:0", "host:04317", "host:65536", "host:4_3", "host:４３",
        "Host:1", "a..b:1", "-a:1", "a-:1", f"{'a' * 64}:1", f"{'a.' * 127}a:1", "a b:1", "a\n:1",
        "127.1:1", "0x7f.0.0.1:1", "010.0.0.1:1", "1.2.3.256:1", "1.2.3:1", "0.0.0.0:1", "[::]:1",
        "[127.0.0.1]:1", "[FD00::7]:1", "[fd00:0::7]:1", "[fe80::1%eth0]:1", "::1:1", "[ff02::1]:1",
        "224.0.0.1:1", "a:1\n", "http://a:1", "a:1/x",
    ],
)  # fmt: skip
def test_endpoint_that_is_not_in_its_usual_spelling_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="want HOST:PORT"):
        parse_endpoint(text)


@pytest.mark.parametrize(
    ("text", "is_loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.8.8:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("10.0.0.1:1", False),
        ("localhost.example.com:1", False),
    ],
)
def test_endpoint_knows_whether_it_is_this_machine(text: str, *, is_loopback: bool) -> None:
    assert parse_endpoint(text).is_loopback is is_loopback


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (check_path, ["/a", "/etc/envoy/tls.crt", "/a..b/c"], ["", "a", "/", "/a/", "//a", "/a b"]),
        (check_path, ["/a-b@1%+=,:~"], ["/a/../b", "/a/.", '/a"b', "/a\n", "/é", "/" + "a" * 1024]),
        (check_log_name, ["shop", "a.b_c-d", "0"], ["", "A", "_a", "a b", "a\n", "a" * 64]),
        (check_namespace, ["istio-system", "a", "0"], ["", "A", "a.b", "-a", "a-", "a\n"]),
        (check_cluster_name, ["spire_agent", "a|b"], ["", "_", "a b", "a\n", '"', "a" * 129]),
        (check_secret_name, ["default", "spiffe://a.b"], ["", ":", "a b", "a\n", "a" * 2049]),
        (
            check_spiffe_id,
            ["spiffe://a.b/c", COLLECTOR],
            ["", "spiffe://a.b", "spiffe://A/b", "spiffe://a/", "spiffe://a/b/", "spiffe://a//b",
             "spiffe://a/../b", "spiffe://a/b\n", "spiffe://a/%20", "https://a/b",
             "spiffe://a/" + "b" * 2048],
        ),
    ],
)  # fmt: skip
def test_value_is_taken_or_refused_by_its_option(
    check: Callable[..., None], good: list[str], bad: list[str]
) -> None:
    for text in good:
        check(text, option="--that")
    for text in bad:
        with pytest.raises(ConfigError, match=r"^--that .*: want "):
            check(text, option="--that")


def test_name_that_ends_in_digits_could_be_an_address_and_is_none() -> None:
    assert is_dns_name("a.b1")
    assert not is_dns_name("a.1b")
    assert not is_dns_name("")


@given(st.text())
def test_quoted_text_is_read_back_as_the_same_string(text: str) -> None:
    # Surrogates and control characters cannot come this far; what can must come back.
    if text.isprintable():
        assert yaml.safe_load(f"a: {{b: {quote(text)}}}") == {"a": {"b": text}}


def read(text: str) -> list[Any]:
    return list(yaml.load_all(text, yaml.CSafeLoader))


def leaves(document: object) -> list[Any]:
    if isinstance(document, dict):
        return [leaf for value in document.values() for leaf in leaves(value)]
    if isinstance(document, list):
        return [leaf for value in document for leaf in leaves(value)]
    return [document]


def shape(document: object) -> object:
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    return [shape(value) for value in document] if isinstance(document, list) else None


def envoy(**changes: str) -> str:
    values = {"cert": CERT, "key": KEY, "ca": CA, "sds_dir": "/sds", "peer": COLLECTOR} | changes
    identity = FileIdentity(
        cert=values["cert"], key=values["key"], ca=values["ca"], sds_dir=values["sds_dir"]
    )
    return format_envoy(
        EnvoyWiring(
            collector=parse_endpoint(values.get("address", "trail.example.com:4317")),
            identity=identity,
            collector_spiffe_id=values["peer"],
            log_prefix=values.get("log", "shop"),
        )
    )


def sds(**changes: str) -> str:
    identity = SdsIdentity(
        cluster=changes.get("cluster", "spire_agent"),
        cert=changes.get("secret", "default"),
        ca=changes.get("ca_secret", "ROOTCA"),
    )
    return format_envoy(EnvoyWiring(collector=ELSEWHERE, identity=identity))


def istio(**changes: str) -> str:
    return format_istio(
        IstioWiring(
            collector=SERVICE,
            collector_spiffe_id=changes.get("peer", COLLECTOR),
            root_namespace=changes.get("root", "istio-system"),
            log_prefix=changes.get("log", "shop"),
        )
    )


def kuma(**changes: str) -> str:
    return format_kuma(
        KumaWiring(
            collector=DOOR,
            mesh=changes.get("mesh", "default"),
            namespace=changes.get("root", "kuma-system"),
            access_log_file=changes.get("file", "/dev/stdout"),
        )
    )


def consul(**changes: str) -> str:
    return format_consul(DOOR, access_log_file=changes.get("file", "/dev/stdout"))


def linkerd(**changes: str) -> str:
    return format_linkerd(DOOR, namespace=changes.get("namespace", "default"))


def cilium(**changes: str) -> str:
    return format_cilium(DOOR, namespace=changes.get("namespace", "default"))


def audit(**changes: str) -> str:
    return format_kubernetes_audit(
        AuditWiring(
            collector=DOOR,
            ca=changes.get("ca", CA),
            cert=changes.get("cert", CERT),
            key=changes.get("key", KEY),
        )
    )


def audit_by_token(**changes: str) -> str:
    token = changes.get("token", "/etc/meshtrail/token")
    return format_kubernetes_audit(AuditWiring(collector=DOOR, cert=None, key=None, token=token))


@pytest.mark.parametrize(
    ("render", "option"),
    [
        *[(kuma, option) for option in ("mesh", "root", "file")],
        *[(render, "namespace") for render in (linkerd, cilium)],
        *[(audit, option) for option in ("ca", "cert", "key")],
        *[(audit_by_token, "token"), (consul, "file")],
        *[(envoy, option) for option in ("address", "cert", "key", "ca", "sds_dir", "peer", "log")],
        *[(sds, option) for option in ("cluster", "secret", "ca_secret")],
        *[(istio, option) for option in ("peer", "root", "log")],
    ],
)
@settings(max_examples=60)
@given(text=ANY)
def test_no_value_changes_anything_but_its_own_place(
    render: Callable[..., str], option: str, text: str
) -> None:
    usual = read(render())
    try:
        printed = render(**{option: text})
    except ConfigError:
        return
    documents = read(printed)
    assert shape(documents) == shape(usual)
    changed = [new for new, old in zip(leaves(documents), leaves(usual), strict=True) if new != old]
    assert all(isinstance(new, str | int) for new in changed)
    expected = text.rpartition(":")[0].strip("[]") if option == "address" else text
    assert any(expected in str(new) for new in changed) or documents == usual
