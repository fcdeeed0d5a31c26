from __future__ import annotations

from typing import Any

import pytest

from meshtrail.collect.grpc_peer import identify_caller
from meshtrail.collect.peer import Peer


class Call:
    """The part of a gRPC call that says who makes it."""

    def __init__(self, certificates: list[bytes], headers: Any) -> None:  # noqa: ANN401 - as gRPC has it
        self._certificates = certificates
        self._headers = headers

    def peer(self) -> str:
        return "ipv6:%5B::1%5D:4711"

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"x509_pem_cert": self._certificates} if self._certificates else {}

    def invocation_metadata(self) -> Any:  # noqa: ANN401 - as gRPC has it
        return self._headers


@pytest.mark.parametrize("certificates", [[], [b"leaf", b"issuer"]])
@pytest.mark.parametrize("headers", [None, (("authorization", "x"),)])
def test_a_call_is_identified_by_its_address_leaf_certificate_and_head(
    certificates: list[bytes], headers: tuple[tuple[str, str], ...] | None
) -> None:
    heard = []

    def identify(*arguments: Any) -> Peer:
        heard.append(arguments)
        return Peer(address="found")

    call: Any = Call(certificates, headers)
    assert identify_caller(identify, call, source="otlp").address == "found"
    certificate = certificates[0] if certificates else None
    assert heard == [("[::1]:4711", certificate, headers or (), "otlp")]
