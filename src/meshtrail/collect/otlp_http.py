"""OTLP over HTTP: what the door asks of the path of each signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.collect.exports import sender_of
from meshtrail.collect.http_request import JSON, PROTOBUF
from meshtrail.collect.http_service import Admitted
from meshtrail.collect.otlp_answers import encode_response
from meshtrail.collect.otlp_cut import OTLP_SOURCE, OtlpExport
from meshtrail.sources.otlp_frame import Signal

if TYPE_CHECKING:
    from meshtrail.collect.authenticator import Identify
    from meshtrail.collect.exports import Taken
    from meshtrail.collect.http_request import HttpRequest
    from meshtrail.collect.http_service import HttpService

_PATHS: Final = {
    "/v1/logs": Signal.LOGS,
    "/v1/traces": Signal.TRACES,
    "/v1/metrics": Signal.METRICS,
}


def otlp_services(identify: Identify) -> dict[str, HttpService]:
    """What takes exports of OTLP, by path.

    Args:
        identify: says who asks.
    """
    return {path: OtlpHttp(signal, identify) for path, signal in _PATHS.items()}


class OtlpHttp:
    """Takes the exports of one signal."""

    kinds = (PROTOBUF, JSON)

    def __init__(self, signal: Signal, identify: Identify) -> None:
        self._signal = signal
        self._identify = identify

    def admit(self, request: HttpRequest) -> Admitted:
        """Let in whom a certificate or a token makes known."""
        certificate = request.connection.certificate_der
        peer = self._identify(request.address, certificate, request.headers, OTLP_SOURCE)
        is_json = request.kind == JSON
        return Admitted(
            sender_of(peer),
            lambda body: (peer, OtlpExport(body=body, signal=self._signal, is_json=is_json)),
        )

    def answer(self, request: HttpRequest, taken: Taken) -> bytes:
        """The response message of the signal."""
        return encode_response(
            self._signal,
            rejected_count=taken.rejected_count,
            reason=taken.reason,
            is_json=request.kind == JSON,
        )
