from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.collect.authenticator import Authenticator
from meshtrail.collect.sender_refusals import SenderRefusals
from meshtrail.collect.token_file import TokenFile
from meshtrail.collect.tokens import Token, format_tokens, make_token
from meshtrail.demo.authority import Authority
from meshtrail.errors import UnauthenticatedError
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.peer import Peer

NOW = 1_795_224_685_000_000_000
DAY = 86_400_000_000_000
SENDER = "10.0.0.5:40001"
PROXY = "10.0.0.7:40001"
XFCC = "x-forwarded-client-cert"
FRONTEND = "spiffe://cluster.local/ns/shop/sa/frontend"
FORWARDED = f"Hash={'ab' * 32};URI={FRONTEND}"


class Scene:
    """A listener, and senders that come by."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ns = NOW
        self.diag = FakeDiag()
        self.tokens_file = folder / "tokens"
        self.token, self.text = self.make_token("shop")

    def make_token(self, name: str) -> tuple[Token, str]:
        token, text = make_token(
            name,
            sources=["otlp", "envoy-als"],
            reporters=["shop-*"],
            now_ns=UnixNanos(NOW),
            days=1,
        )
        with self.tokens_file.open("ab") as file:
            file.write(format_tokens([token]))
        self.tokens_file.chmod(0o600)
        return token, text

    def certificate(self) -> bytes:
        identity = Authority(self.folder / "mesh").issue("ns/shop/sa/payments")
        certificate = x509.load_pem_x509_certificate(identity.chain.read_bytes())
        return certificate.public_bytes(serialization.Encoding.DER)

    def authenticator(
        self,
        *,
        is_loopback: bool = False,
        is_mtls: bool = False,
        xfcc_from: tuple[str, ...] = (),
        has_tokens: bool = False,
    ) -> Authenticator:
        return Authenticator(
            is_loopback=is_loopback,
            is_mtls=is_mtls,
            forwarders=tuple(map(ipaddress.ip_network, xfcc_from)),
            tokens=TokenFile(self.tokens_file, diag=self.diag) if has_tokens else None,
            now=lambda: UnixNanos(self.now_ns),
            refusals=SenderRefusals(self.diag),
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def bearer(text: str) -> list[tuple[str | bytes, str | bytes]]:
    return [("authorization", f"Bearer {text}")]


def identify(
    authenticator: Authenticator,
    *headers: tuple[str | bytes, str | bytes],
    address: str = SENDER,
    certificate: bytes | None = None,
    source: str = "otlp",
) -> Peer:
    return authenticator.identify(address, certificate, headers, source)


def refusal(authenticator: Authenticator, *headers: Any, **how: Any) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        identify(authenticator, *headers, **how)
    return caught.value.message


def test_sender_that_shows_nothing_is_taken_on_loopback_where_nothing_is_asked_for(
    scene: Scene,
) -> None:
    peer = identify(scene.authenticator(is_loopback=True), address="127.0.0.1:9")
    assert (peer.address, peer.auth) == ("127.0.0.1:9", "none")
    assert (peer.spiffe_id, peer.token, peer.certificate_sha256) == (None, None, None)


@pytest.mark.parametrize(
    "how",
    [
        {"is_loopback": False},
        {"is_loopback": True, "has_tokens": True},
        {"is_loopback": True, "is_mtls": True},
        {"is_loopback": True, "xfcc_from": ("10.0.0.7",)},
    ],
)
def test_sender_that_shows_nothing_is_refused_everywhere_else(
    scene: Scene, how: dict[str, Any]
) -> None:
    said = refusal(scene.authenticator(**how))
    assert said == "neither a certificate nor a token was shown"


def test_sender_with_a_certificate_is_known_by_it_whatever_token_it_shows(scene: Scene) -> None:
    authenticator = scene.authenticator(is_mtls=True, has_tokens=True)
    peer = identify(authenticator, *bearer("x"), certificate=scene.certificate())
    assert (peer.auth, peer.spiffe_id) == ("mtls", "spiffe://cluster.local/ns/shop/sa/payments")
    assert peer.token is None


@pytest.mark.parametrize("name", ["authorization", "Authorization", b"authorization"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
def test_sender_with_a_token_is_known_by_its_name(
    scene: Scene, name: str | bytes, scheme: str
) -> None:
    peer = identify(scene.authenticator(has_tokens=True), (name, f"{scheme} {scene.text}".encode()))
    assert (peer.auth, peer.token, peer.reporters) == ("token", "shop", ("shop-*",))
    assert (peer.spiffe_id, peer.certificate_sha256) == (None, None)


@pytest.mark.parametrize("is_loopback", [True, False])
def test_wrong_token_is_refused_on_loopback_too(scene: Scene, *, is_loopback: bool) -> None:
    authenticator = scene.authenticator(is_loopback=is_loopback, has_tokens=True)
    last = "0" if scene.text[-1] != "0" else "1"
    for text in (scene.text[:-1] + last, f"mtt_{'0' * 16}_{'0' * 64}"):
        assert "unknown, revoked, or not its secret" in refusal(authenticator, *bearer(text))


def test_token_that_is_none_is_refused_without_repeating_it(scene: Scene) -> None:
    authenticator = scene.authenticator(has_tokens=True)
    said = refusal(authenticator, *bearer(f"{scene.text}0"))
    assert "not written as a token" in said
    assert scene.text.rpartition("_")[2] not in said


def test_token_is_refused_from_its_expiry_on(scene: Scene) -> None:
    authenticator = scene.authenticator(has_tokens=True)
    scene.now_ns = NOW + DAY - 1
    assert identify(authenticator, *bearer(scene.text)).token == "shop"
    scene.now_ns = NOW + DAY
    said = refusal(authenticator, *bearer(scene.text))
    assert said == f"token shop ({scene.token.id}): expired on 2026-11-22T01:31:25Z"


def test_token_of_another_source_is_refused(scene: Scene) -> None:
    authenticator = scene.authenticator(has_tokens=True)
    assert identify(authenticator, *bearer(scene.text), source="envoy-als").auth == "token"
    said = refusal(authenticator, *bearer(scene.text), source="envoy-metrics")
    assert said.endswith("good for envoy-als, otlp, not for envoy-metrics")


def test_revoked_token_is_refused_and_a_new_one_taken_without_a_restart(scene: Scene) -> None:
    authenticator = scene.authenticator(has_tokens=True)
    assert identify(authenticator, *bearer(scene.text)).token == "shop"
    scene.tokens_file.unlink()
    _, text = scene.make_token("other")
    assert "revoked" in refusal(authenticator, *bearer(scene.text))
    assert identify(authenticator, *bearer(text)).token == "other"


def test_sender_may_go_on_until_its_token_is_revoked_or_expires(scene: Scene) -> None:
    authenticator = scene.authenticator(has_tokens=True)
    peer = identify(authenticator, *bearer(scene.text))
    authenticator.check_again(peer, "otlp")
    scene.now_ns = NOW + DAY
    with pytest.raises(UnauthenticatedError, match="expired on"):
        authenticator.check_again(peer, "otlp")
    scene.now_ns = NOW
    authenticator.check_again(peer, "otlp")
    scene.tokens_file.unlink()
    scene.make_token("shop")  # of the same name, and still another
    with pytest.raises(UnauthenticatedError, match=rf"token shop \({scene.token.id}\): revoked"):
        authenticator.check_again(peer, "otlp")
    assert scene.diag.facts("sender_refused")["refused_count"] == 1


def test_sender_without_a_token_may_go_on(scene: Scene) -> None:
    authenticator = scene.authenticator(is_mtls=True)
    peer = identify(authenticator, certificate=scene.certificate())
    authenticator.check_again(peer, "envoy-als")


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("authorization", "Basic eDp5")], "authorization is not Bearer and a token"),
        ([("authorization", "")], "authorization is not Bearer"),
        ([("authorization", "Bearer a"), ("Authorization", "Bearer a")], "2 authorization headers"),
        ([("authorization", b"Bearer \xff")], "authorization is not UTF-8"),
    ],
)
@pytest.mark.parametrize("has_tokens", [True, False])
def test_other_authorization_is_refused_on_loopback_too(
    scene: Scene, headers: list[Any], reason: str, *, has_tokens: bool
) -> None:
    authenticator = scene.authenticator(is_loopback=True, has_tokens=has_tokens)
    assert reason in refusal(authenticator, *headers)


def test_token_is_refused_where_none_is_taken(scene: Scene) -> None:
    authenticator = scene.authenticator(is_loopback=True)
    assert refusal(authenticator, *bearer(scene.text)) == "this collector takes no tokens"


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("10.0.0.7", PROXY),
        ("10.0.0.0/24", PROXY),
        ("10.0.0.7", "[::ffff:10.0.0.7]:9"),
        ("fd00::/8", "[fd00::1]:9"),
        ("127.0.0.6", "127.0.0.6:9"),
    ],
)
def test_forwarded_certificate_of_a_listed_proxy_is_the_sender(
    scene: Scene, network: str, address: str
) -> None:
    authenticator = scene.authenticator(xfcc_from=("192.0.2.0/24", network))
    peer = identify(
        authenticator, (XFCC, "URI=spiffe://td/far"), (XFCC, FORWARDED), address=address
    )
    assert (peer.auth, peer.spiffe_id, peer.address) == ("xfcc", FRONTEND, address)
    assert peer.certificate_sha256 == bytes.fromhex("ab" * 32)


def test_forwarded_certificate_comes_before_the_proxys_own(scene: Scene) -> None:
    authenticator = scene.authenticator(is_mtls=True, xfcc_from=("10.0.0.7",))
    own = scene.certificate()
    peer = identify(authenticator, (XFCC, FORWARDED), address=PROXY, certificate=own)
    assert (peer.auth, peer.spiffe_id) == ("xfcc", FRONTEND)


def test_header_of_an_unlisted_address_is_ignored(scene: Scene) -> None:
    authenticator = scene.authenticator(is_mtls=True, xfcc_from=("10.0.0.7",))
    assert "neither a certificate nor a token" in refusal(authenticator, (XFCC, FORWARDED))
    peer = identify(authenticator, (XFCC, FORWARDED), certificate=scene.certificate())
    assert (peer.auth, peer.spiffe_id) == ("mtls", "spiffe://cluster.local/ns/shop/sa/payments")
    anyone = scene.authenticator(is_loopback=True)
    assert identify(anyone, (XFCC, FORWARDED)).spiffe_id is None


@pytest.mark.parametrize("address", ["", "unix:/x", "10.0.0.8:1", "host:1", "[fe80::1%eth0]:1"])
def test_address_that_is_not_in_the_network_forwards_nothing(scene: Scene, address: str) -> None:
    authenticator = scene.authenticator(xfcc_from=("10.0.0.7",))
    assert refusal(authenticator, (XFCC, FORWARDED), address=address)


def test_listed_proxy_that_sends_no_header_is_refused_whatever_else_it_shows(scene: Scene) -> None:
    authenticator = scene.authenticator(is_mtls=True, has_tokens=True, xfcc_from=("10.0.0.7",))
    shown = {"address": PROXY, "certificate": scene.certificate()}
    said = refusal(authenticator, *bearer(scene.text), **shown)
    assert said == f"a proxy that forwards certificates sent no {XFCC}"


def test_malformed_header_is_refused_whatever_else_is_shown(scene: Scene) -> None:
    authenticator = scene.authenticator(is_mtls=True, xfcc_from=("10.0.0.7",))
    shown = {"address": PROXY, "certificate": scene.certificate()}
    for value in (b"", b"Hash", b"\xff"):
        assert refusal(authenticator, (XFCC, value), **shown).startswith(XFCC)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([XFCC, b"Authorization", "x"]),
            st.binary(max_size=30)
            | st.sampled_from([b"Bearer mtt_", b"Hash=", FORWARDED.encode()]),
        ),
        max_size=3,
    ),
    st.sampled_from([SENDER, PROXY, "", "\ud800:1"]),
)
def test_whatever_is_sent_is_a_sender_or_a_refusal(
    headers: list[tuple[str | bytes, str | bytes]], address: str
) -> None:
    authenticator = Authenticator(
        is_loopback=True,
        is_mtls=False,
        forwarders=(ipaddress.ip_network(PROXY.partition(":")[0]),),
        tokens=None,
        now=lambda: UnixNanos(NOW),
        refusals=SenderRefusals(FakeDiag()),
    )
    try:
        peer = identify(authenticator, *headers, address=address)
    except UnauthenticatedError:
        return
    assert (peer.auth, address) == ("xfcc", PROXY)


def test_a_refusal_is_told_with_its_reason_and_no_secret(scene: Scene) -> None:
    refusal(scene.authenticator(), *bearer(scene.text))
    assert scene.diag.facts("sender_refused") == {
        "address": SENDER,
        "source": "otlp",
        "reason": "this collector takes no tokens",
        "refused_count": 1,
    }
    assert scene.text not in repr(scene.diag.events)


def test_sender_of_what_a_secret_vouches_for_is_known_by_that_alone(scene: Scene) -> None:
    authenticator = scene.authenticator(is_loopback=False)
    peer = authenticator.identify_signed(SENDER, "github", lambda: None)
    assert (peer.auth, peer.address, peer.spiffe_id, peer.token) == (
        "signature",
        SENDER,
        None,
        None,
    )


def test_what_no_secret_vouches_for_is_refused_and_counted(scene: Scene) -> None:
    def check() -> None:
        raise UnauthenticatedError("not of this body")

    with pytest.raises(UnauthenticatedError, match="not of this body"):
        scene.authenticator(is_loopback=True).identify_signed(SENDER, "github", check)
    told = scene.diag.facts("sender_refused")
    assert (told["source"], told["reason"]) == ("github", "not of this body")
