"""Records over HTTP: a body of lines, or of a JSON list, of one format for each path."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.collect.element_cut import cut_elements, holds_lines
from meshtrail.collect.export import Cut, CutPart, StreamKind
from meshtrail.collect.exports import sender_of
from meshtrail.collect.http_claims import HTTP_CLAIMS, read_claims
from meshtrail.collect.http_request import JSON
from meshtrail.collect.http_service import Admitted
from meshtrail.collect.payloads import encode_json
from meshtrail.collect.record_cut import cut_records, keep_whole
from meshtrail.errors import InputError
from meshtrail.model.record_formats import LISTED_FORMATS, RECORD_FORMATS

if TYPE_CHECKING:
    from meshtrail.collect.authenticator import Identify
    from meshtrail.collect.exports import Taken
    from meshtrail.collect.http_request import HttpRequest
    from meshtrail.collect.http_service import HttpService
    from meshtrail.collect.pieces import Piece

RECORD_KINDS: Final = ("application/x-ndjson", JSON, "text/plain")

_SPACE: Final = b" \t\r\n"

RECORDS_COUNT_MAX: Final = 262_144
"""In a body: of one as large as may be, 64 bytes for each."""

RECORD_BYTES_MIN: Final = 32
SMALL_RECORDS_MAX: Final = 1_024
"""So many may be shorter than that on average. Each becomes an entry with a header and a hash, so
line feeds with a byte between them would cost a hundred times what they weigh."""


def record_services(identify: Identify) -> dict[str, HttpService]:
    """What takes records, by path.

    Args:
        identify: says who asks.
    """
    return {f"/v1/records/{name}": RecordHttp(name, identify) for name in RECORD_FORMATS}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordExport:
    """Records of one format, as they were sent together.

    Attributes:
        body: as it came, unpacked.
        name: of the format.
        is_json: whether the sender says that the body is JSON, rather than lines.
        claims: what the sender says of itself.
    """

    body: bytes
    name: str
    is_json: bool
    claims: bytes | None

    @property
    def label(self) -> str:
        """The format, and who the sender says that it is: several may stand behind one address."""
        return f"records/{self.name} {hashlib.sha256(self.claims or b'').hexdigest()}"

    @property
    def kind(self) -> StreamKind:
        """Of its stream: one for each format."""
        return StreamKind(self.name, "", HTTP_CLAIMS)

    def cut(self) -> Cut:
        """Cut it into its records; whatever is wrong with it stands in what is returned."""
        try:
            return Cut([CutPart(self.claims, self._cut())])
        except InputError as error:
            return Cut([self.keep_whole()], error)

    def keep_whole(self) -> CutPart:
        """The body as it came."""
        return CutPart(self.claims, [keep_whole(self.body)])

    def _cut(self) -> list[Piece]:
        pieces = self._cut_json() if self.is_json else cut_records(self.name, self.body)
        count = sum(piece.records_count for piece in pieces)
        is_padding = count > SMALL_RECORDS_MAX and len(self.body) < RECORD_BYTES_MIN * count
        if is_padding or count > RECORDS_COUNT_MAX:
            raise InputError(
                f"a body of {count} records in {len(self.body)} bytes: at most {RECORDS_COUNT_MAX} "
                f"are taken, and at most {SMALL_RECORDS_MAX} of under {RECORD_BYTES_MIN} bytes"
            )
        return pieces

    def _cut_json(self) -> list[Piece]:
        if self.name not in LISTED_FORMATS:
            if self.body.lstrip(_SPACE).startswith(b"["):
                raise InputError(f"a JSON list: records of {self.name} are sent a line each")
            return cut_records(self.name, self.body)
        if holds_lines(self.body):
            return cut_records(self.name, self.body)
        payload_format = RECORD_FORMATS[self.name]
        return cut_elements(self.body, payload_format, elements_count_max=RECORDS_COUNT_MAX)


class RecordHttp:
    """Takes the records of one format."""

    kinds = RECORD_KINDS

    def __init__(self, name: str, identify: Identify) -> None:
        self._name = name
        self._identify = identify

    def admit(self, request: HttpRequest) -> Admitted:
        """Let in whom a certificate or a token makes known."""
        certificate = request.connection.certificate_der
        peer = self._identify(request.address, certificate, request.headers, self._name)
        claims = read_claims(request)
        is_json = request.kind == JSON
        return Admitted(
            sender_of(peer),
            lambda body: (
                peer,
                RecordExport(body=body, name=self._name, is_json=is_json, claims=claims),
            ),
        )

    def answer(self, request: HttpRequest, taken: Taken) -> bytes:  # noqa: ARG002 - as all services
        """How many records there were."""
        return encode_json({"records": taken.records_count})
