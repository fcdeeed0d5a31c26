from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect.exports import Taken
from meshtrail.collect.http_request import JSON, PROTOBUF, HttpRequest
from meshtrail.collect.otlp_cut import OtlpExport
from meshtrail.collect.otlp_http import otlp_services
from meshtrail.collect.peer import Peer
from meshtrail.errors import UnauthenticatedError
from meshtrail.sources.otlp_frame import Signal

if TYPE_CHECKING:
    from meshtrail.collect.http_service import HttpService

PEER = Peer(address="127.0.0.1:9")


class _Connection:
    certificate_der = b"certificate"


def request(kind: str) -> HttpRequest:
    async def nothing() -> Any:  # noqa: ANN401 - as ASGI has it
        raise AssertionError("nothing is read before a request is let in")

    scope = {
        "path": "/v1/logs",
        "query_string": b"",
        "headers": [(b"content-type", kind.encode())],
        "client": ("127.0.0.1", 9),
        "extensions": {"meshtrail.connection": _Connection()},
    }
    return HttpRequest(scope, nothing)


def services() -> dict[str, HttpService]:
    def identify(address: str, certificate: bytes | None, headers: Any, source: str, /) -> Peer:  # noqa: ANN401 - as it comes
        assert (address, certificate, source) == ("127.0.0.1:9", b"certificate", "otlp")
        assert headers
        return PEER

    return otlp_services(identify)


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
def test_each_signal_has_its_path_and_says_what_it_is(signal: Signal, kind: str) -> None:
    service = services()[f"/v1/{signal.name.lower()}"]
    assert kind in service.kinds
    peer, export = service.admit(request(kind)).finish(b"body")
    assert peer == PEER
    assert export == OtlpExport(body=b"body", signal=signal, is_json=kind == JSON)


def test_answers_are_in_the_encoding_of_the_request() -> None:
    service = services()["/v1/logs"]
    assert service.answer(request(JSON), Taken(3)) == b"{}"
    assert service.answer(request(PROTOBUF), Taken(3)) == b""
    assert b"rejectedLogRecords" in service.answer(request(JSON), Taken(0, 3, "why"))


def test_who_is_not_let_in_is_never_read() -> None:
    def refuse(*_: object) -> Peer:
        raise UnauthenticatedError("no")

    with pytest.raises(UnauthenticatedError):
        otlp_services(refuse)["/v1/logs"].admit(request(JSON))
