"""One request at the HTTP door: what its head says, and its body within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.collect.address import Address
from meshtrail.errors import RequestError
from meshtrail.http.connection import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meshtrail.collect.in_flight import Held
    from meshtrail.http.asgi import Receive, Scope
    from meshtrail.http.connection import BoundedConnection

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

_IDENTITY: Final = ("", "identity")


class HttpRequest:
    """What one request says in its head, and its body.

    Attributes:
        path: without the query.
        query: as it came.
        headers: names in lower case.
        kind: content type, without its parameters.
        is_gzip: whether the body is packed; known once the head was checked.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope = scope
        self._receive = receive
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self.kind = (self.header(b"content-type") or "").partition(";")[0].strip().lower()
        self.is_gzip = False

    @property
    def wants_json(self) -> bool:
        """Whether the answer is JSON: to JSON, and to what nobody can tell."""
        return self.kind != PROTOBUF

    @property
    def address(self) -> str:
        """Of the sender."""
        client = self._scope["client"]
        return "unknown" if client is None else Address(*client).format()

    @property
    def connection(self) -> BoundedConnection:
        """Over which it comes."""
        found: BoundedConnection = self._scope["extensions"][CONNECTION]
        return found

    def header(self, name: bytes) -> str | None:
        """The value of a header, several joined by commas; None where there is none."""
        values = [value for key, value in self.headers if key == name]
        return b",".join(values).decode("latin-1") if values else None

    def check(self, kinds: Sequence[str]) -> None:
        """Return when a body may follow.

        Args:
            kinds: content types that are taken.

        Raises:
            RequestError: it is not a request that is taken.
        """
        if self._scope["method"] != "POST":
            raise RequestError("exports are sent with POST", http_status=405)
        if self.header(b"origin"):
            # A page in a browser can reach loopback; it cannot keep the browser from saying so.
            raise RequestError("a page in a browser may send nothing here", http_status=403)
        if self.kind not in kinds:
            raise RequestError(
                f"a body of {' or '.join(kinds)} is wanted, got {self.kind[:80] or 'none'!r}",
                http_status=415,
            )
        encoding = (self.header(b"content-encoding") or "").strip().lower()
        self.is_gzip = encoding == "gzip"
        if not self.is_gzip and encoding not in _IDENTITY:
            raise RequestError(
                f"a body is packed with gzip or not at all, got {encoding[:80]!r}", http_status=415
            )

    async def read(self, held: Held, *, bytes_max: int) -> bytes:
        """The body, as it was sent.

        Raises:
            RequestError: it is longer; what is left of it is not waited for.
            BusyError: there is no room for it.
        """
        declared = self.header(b"content-length")
        self._check_length(int(declared) if declared else 0, bytes_max)
        body = bytearray()
        is_whole = False
        while not is_whole:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise RequestError("the sender has gone", http_status=400)
            self._check_length(len(body) + len(message["body"]), bytes_max)
            held.grow(len(message["body"]))
            body += message["body"]
            is_whole = not message["more_body"]
        return bytes(body)

    def _check_length(self, length: int, bytes_max: int) -> None:
        if length > bytes_max:
            raise RequestError(
                f"a body of {length} bytes was refused, at most {bytes_max} are taken",
                http_status=413,
            )
