from __future__ import annotations

import pytest

from meshtrail.sources.lines.linkerd_values import (
    ClientFacts,
    TlsFacts,
    Verdict,
    read_client,
    read_layer,
    read_tls,
    read_verdict,
    read_version,
)
from tests.mesh_lines import established


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        (
            "web.shop.serviceaccount.identity.linkerd.cluster.local",
            ("cluster.local", "shop", "web"),
        ),
        ("w.e-b.shop.serviceaccount.identity.l5d.td", ("td", "shop", "w.e-b")),
        (
            # A service account that somebody has named like another one's identity.
            (
                "admin.bank.serviceaccount.identity.linkerd.cluster.local"
                ".evil.serviceaccount.identity.linkerd.cluster.local"
            ),
            (
                "cluster.local",
                "evil",
                "admin.bank.serviceaccount.identity.linkerd.cluster.local",
            ),
        ),
    ],
)
def test_a_name_is_taken_apart_at_linkerds_own_mark(name: str, parts: tuple[str, str, str]) -> None:
    assert read_client(name) == ClientFacts(None, *parts)


def test_a_spiffe_id_is_one() -> None:
    uri = "spiffe://td/ns/shop/sa/web"
    assert read_client(uri) == ClientFacts(uri, "td", "shop", "web")
    assert read_client("spiffe://root.linkerd/x") == ClientFacts(
        "spiffe://root.linkerd/x", "root.linkerd"
    )
    assert read_client("spiffe://TD/x").is_unknown


@pytest.mark.parametrize("name", [None, "", "-"])
def test_no_name_is_no_client(name: str | None) -> None:
    assert read_client(name) == ClientFacts()


@pytest.mark.parametrize(
    "name",
    [
        *("example.com", "Web.shop.serviceaccount.identity.l.td", "a" * 254),
        *("web.shop.serviceaccount.identity.linkerd", "a b.c.serviceaccount.identity.l.td"),
    ],
)
def test_any_other_name_is_unknown(name: str) -> None:
    assert read_client(name) == ClientFacts(is_unknown=True)


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("None(NoClientHello)", None),
        (established("a.b"), "a.b"),
        (
            (
                'Some(Established { client_id: Some(ClientId(Name("a.b"))), '
                "negotiated_protocol: Some(NegotiatedProtocol([104, 50])) })"
            ),
            "a.b",
        ),
        (
            (
                'Some(Established { client_id: Some(ClientId(Uri("spiffe://td/x"))), '
                "negotiated_protocol: None })"
            ),
            "spiffe://td/x",
        ),
        ("Some(Established { client_id: None, negotiated_protocol: None })", None),
        ('Some(Passthru { sni: ServerName("x") })', None),
    ],
)
def test_tls_names_its_client(text: str, client: str | None) -> None:
    assert read_tls(text) == TlsFacts(client)


@pytest.mark.parametrize("text", ["x", "Some(x)", "None()", established('a"b'), established("}")])
def test_tls_of_another_shape_is_wrong(text: str) -> None:
    assert read_tls(text) == TlsFacts(is_wrong=True)


def test_an_audit_policy_allows_what_else_would_be_denied() -> None:
    assert read_verdict("Request allowed") == Verdict("allowed", "audit policy", "denied")
    assert read_verdict("Connection denied") == Verdict("denied", "no authorization matched")
    assert read_verdict("Request authorized") == Verdict() == read_verdict(None)


def test_a_layer_is_of_the_policy_alone() -> None:
    assert read_layer("linkerd_app_inbound::policy::http") == "http"
    assert read_layer("linkerd_app_inbound::policy::authorize::tcp") == "tcp"
    assert read_layer("linkerd_app_inbound::policy::http::x") is None
    assert read_layer(None) is None


def test_a_version_is_a_number() -> None:
    texts = ["HTTP/1.1", "HTTP/2.0", "HTTP/0.9", None]
    assert [read_version(text) for text in texts] == ["1.1", "2", None, None]
