"""Webhooks over HTTP: bodies that a shared secret vouches for, each sealed whole.

Who sends them has neither a certificate nor a token of ours, so the secret alone says that they
are not made up; it is asked for on loopback, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.collect.export import Cut, CutPart, StreamKind
from meshtrail.collect.http_claims import HTTP_CLAIMS, encode_claims
from meshtrail.collect.http_request import JSON
from meshtrail.collect.http_service import Admitted
from meshtrail.collect.payloads import encode_json
from meshtrail.collect.pieces import Piece
from meshtrail.collect.webhook_secret import WebhookSecret
from meshtrail.collect.webhook_signatures import check_github_signature, check_gitlab_token
from meshtrail.errors import RequestError
from meshtrail.journal import Framing
from meshtrail.model.entry import PayloadFormat

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshtrail.collect.authenticator import Authenticator
    from meshtrail.collect.diag import Diag
    from meshtrail.collect.export import Export
    from meshtrail.collect.exports import Taken
    from meshtrail.collect.http_request import HttpRequest
    from meshtrail.collect.http_service import HttpService
    from meshtrail.collect.options import WebhookOptions
    from meshtrail.collect.peer import Peer

_UNPROVEN: Final = "webhooks"
"""Until a body is there nobody knows who sends it. All who send such take one share together, so
that strangers with many addresses keep no known sender out."""

_EVENT: Final = re.compile(r"[A-Za-z0-9_. ]{1,64}", re.ASCII)


class Forge(NamedTuple):
    """Who sends webhooks.

    Attributes:
        name: in paths, and in what is said of its senders.
        payload_format: of its bodies.
        proof: the header that vouches for a body.
        proof_needs_body: whether it does so for this body alone.
        event: the header that names what happened.
        check: returns when the proof is good; raises UnauthenticatedError.
    """

    name: str
    payload_format: PayloadFormat
    proof: bytes
    proof_needs_body: bool
    event: bytes
    check: Callable[[bytes, bytes, str | None], None]


def _check_gitlab(secret: bytes, body: bytes, header: str | None) -> None:  # noqa: ARG001 - vouches for any body
    check_gitlab_token(secret, header)


GITHUB: Final = Forge(
    name="github",
    payload_format=PayloadFormat.GITHUB,
    proof=b"x-hub-signature-256",
    proof_needs_body=True,
    event=b"x-github-event",
    check=check_github_signature,
)
GITLAB: Final = Forge(
    name="gitlab",
    payload_format=PayloadFormat.GITLAB,
    proof=b"x-gitlab-token",
    proof_needs_body=False,
    event=b"x-gitlab-event",
    check=_check_gitlab,
)


def webhook_services(
    options: WebhookOptions, authenticator: Authenticator, *, diag: Diag
) -> dict[str, HttpService]:
    """What takes webhooks, by path.

    Args:
        options: where their secrets lie.
        authenticator: counts who is not let in.
        diag: hears of changed secrets.

    Raises:
        ConfigError: a secret cannot be used.
    """
    files = {GITHUB: options.github_secret_file, GITLAB: options.gitlab_secret_file}
    return {
        f"/v1/webhooks/{forge.name}": WebhookHttp(
            forge,
            secret=None if path is None else WebhookSecret(path, diag=diag),
            authenticator=authenticator,
        )
        for forge, path in files.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookExport:
    """The body of one webhook.

    Attributes:
        forge: that sent it.
        body: as it came, unpacked.
        claims: what its sender says of itself, and of what it is about.
    """

    forge: Forge
    body: bytes
    claims: bytes | None

    @property
    def name(self) -> str:
        """Of the forge."""
        return self.forge.name

    @property
    def label(self) -> str:
        """The forge alone: what it delivers again, it may deliver by another of its machines."""
        return f"webhooks/{self.name}"

    @property
    def kind(self) -> StreamKind:
        """Of its stream."""
        return StreamKind(self.name, "", HTTP_CLAIMS)

    def cut(self) -> Cut:
        """The whole body, as one record."""
        return Cut([self.keep_whole()])

    def keep_whole(self) -> CutPart:
        """The body as it came."""
        piece = Piece(self.body, 1, Framing.WHOLE, self.forge.payload_format)
        return CutPart(self.claims, [piece])


class WebhookHttp:
    """Takes the webhooks of one forge.

    Args:
        forge: whose.
        secret: that it shares with us; None takes none of its webhooks.
        authenticator: counts who is not let in.
    """

    kinds = (JSON,)

    def __init__(
        self, forge: Forge, *, secret: WebhookSecret | None, authenticator: Authenticator
    ) -> None:
        self._forge = forge
        self._secret = secret
        self._authenticator = authenticator

    def admit(self, request: HttpRequest) -> Admitted:
        """Let in whoever may turn out to know the secret."""
        if self._secret is None:
            name = self._forge.name
            raise RequestError(
                f"webhooks of {name} are not taken: name a file with their secret, "
                f"{name}_secret_file in [collect.webhooks]",
                http_status=404,
            )
        if request.header(self._forge.proof) is None or not self._forge.proof_needs_body:
            self._check(request, self._secret, b"")
        return Admitted(_UNPROVEN, partial(self._finish, request, self._secret))

    def answer(self, request: HttpRequest, taken: Taken) -> bytes:  # noqa: ARG002 - as all services
        """One record."""
        return encode_json({"records": taken.records_count})

    def _finish(
        self, request: HttpRequest, secret: WebhookSecret, body: bytes
    ) -> tuple[Peer, Export]:
        peer = self._check(request, secret, body)
        event = request.header(self._forge.event) or ""
        # What is no name of an event is left out: it stands in no signature.
        texts = {"log_name": event} if _EVENT.fullmatch(event) else {}
        claims = encode_claims(request, texts)
        return peer, WebhookExport(forge=self._forge, body=body, claims=claims)

    def _check(self, request: HttpRequest, secret: WebhookSecret, body: bytes) -> Peer:
        proof = request.header(self._forge.proof)
        return self._authenticator.identify_signed(
            request.address,
            self._forge.name,
            lambda: self._forge.check(secret.current(), body, proof),
        )
