"""A real Envoy in front of the collector ends mTLS and says, in its header, what it was shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from meshtrail.collect import CollectOptions
from meshtrail.demo.authority import Authority, Identity
from tests.als_messages import als_message, http_record, identifier
from tests.collect_rig import METHOD, by_stream, connected, read_entries, running_collector
from tests.e2e import wired_proxy as wired
from tests.rig.envoy import Envoy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PAYMENTS, ROOT = "ns/shop/sa/payments", "spiffe://td/root"
XFCC = "x-forwarded-client-cert"
FORGED = f"Hash={'00' * 32};URI={ROOT}"
MESSAGE = als_message(claims=identifier(), http=[http_record("/x")])
SUBJECTS = (
    "plain",
    'a"b',
    "a\\",
    'a\\"',
    f'";URI={ROOT};x="',
    f",URI={ROOT}",
    f'\\",URI={ROOT}',
    "é\tü; = , +",
)


def front(collector: str, authority: Authority, *, details: str) -> dict[str, Any]:
    """The configuration of an Envoy that forwards gRPC, and what it was shown."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "collector", "timeout": "0s"}}]
    manager = wired.http_manager(
        added={
            "forward_client_cert_details": details,
            "set_current_client_cert_details": {
                "subject": True,
                "cert": True,
                "chain": True,
                "dns": True,
                "uri": True,
            },
        },
        routes=routes,
        policies=False,
    )
    server = authority.issue("ns/mesh/sa/front", is_named_localhost=True)
    listener = wired.listener(
        "front", [manager], added={}, tls=wired.downstream_tls(authority, server)
    )
    port = int(collector.rpartition(":")[2])
    return wired.bootstrap(
        listeners=[listener], clusters=[wired.cluster("collector", port, is_http2=True)]
    )


def with_subject(authority: Authority, folder: Path, subject: str) -> Identity:
    """A certificate of the mesh whose subject tries to say more than it is."""
    identity = authority.issue(PAYMENTS)
    good = x509.load_pem_x509_certificate(identity.chain.read_bytes())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(good.issuer)
        .public_key(good.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(good.not_valid_before_utc)
        .not_valid_after(good.not_valid_after_utc)
    )
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    chain = folder / "odd.pem"
    certificate = builder.sign(authority._key, hashes.SHA256())
    chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Identity(identity.spiffe_id, chain, identity.key)


async def send(
    address: str, authority: Authority, identity: Identity, *headers: tuple[str, str]
) -> grpc.StatusCode:
    """Send one message with a certificate and these headers."""

    async def messages() -> AsyncIterator[bytes]:
        yield MESSAGE

    credentials = grpc.ssl_channel_credentials(
        authority.bundle.read_bytes(), identity.key.read_bytes(), identity.chain.read_bytes()
    )
    async with connected(address, credentials=credentials) as channel:
        method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(METHOD)
        return await method(messages(), metadata=grpc.aio.Metadata(*headers)).code()


@pytest.mark.parametrize("details", ["SANITIZE_SET", "APPEND_FORWARD"])
def test_what_envoy_forwards_names_its_client_whatever_that_sends_or_is_called(
    tmp_path: Path, details: str
) -> None:
    authority = Authority(tmp_path / "mesh")
    directory = tmp_path / "journal" / "collect"
    digests = []

    async def play() -> None:
        options = CollectOptions(grpc="127.0.0.1:0", xfcc_from=("127.0.0.1",))
        async with running_collector(directory, options=options) as collector:
            config = front(collector.address, authority, details=details)
            with Envoy("front", config, directory=tmp_path) as envoy:
                address = f"127.0.0.1:{envoy.ports()['front']}"
                for subject in SUBJECTS:
                    sender = with_subject(authority, tmp_path, subject)
                    certificate = x509.load_pem_x509_certificate(sender.chain.read_bytes())
                    digests.append(certificate.fingerprint(hashes.SHA256()).hex())
                    code = await send(address, authority, sender, (XFCC, FORGED))
                    assert code is grpc.StatusCode.OK, subject
            await collector.finish()

    asyncio.run(play())
    opened = [stream[0].json for stream in by_stream(read_entries(directory))]
    assert [said["auth"] for said in opened] == ["xfcc"] * len(SUBJECTS)
    proven = [said["authenticated"] for said in opened]
    assert {said["spiffe_id"] for said in proven} == {f"spiffe://cluster.local/{PAYMENTS}"}
    assert [said["certificate_sha256"] for said in proven] == digests
