"""What single values of Linkerd's lines mean, for its columnar mapper and for the reference.

Source: linkerd2-proxy, ``linkerd/http/access-log``, ``linkerd/tracing`` and
``linkerd/app/inbound/src/policy``; docs/sources/linkerd.md.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from meshtrail.model.event import Decision
from meshtrail.sources.envoy_values import remember, split_spiffe_id

NOT_A_LINE: Final = "not a line of Linkerd's proxy"
NO_FIELDS: Final = "fields of a line cannot be read"
NO_TIME: Final = "time is counted from the start of the proxy"
TARGET: Final = r"linkerd_app_inbound::policy(?:::authorize)?::(?P<layer>http|tcp)"
"""The part of the proxy that decides, as a regular expression."""
MESSAGES: Final = (
    "Request denied",
    "Request allowed",
    "Connection denied",
    "Connection terminated due to policy change",
)
TLS: Final = (
    r"(?:None\([A-Za-z]+\)|Some\((?:Passthru \{ sni: [^{}]* \}|"
    r"Established \{ client_id: (?:None|Some\(ClientId\((?:[A-Za-z]+\()*"
    r'"(?P<client_id>[^"{}\\]*)"\)+), negotiated_protocol: (?:None|Some\([^{}]*\)) \})\))'
)
"""How the proxy writes the TLS of a connection, as a regular expression."""

_TARGET: Final = re.compile(TARGET)
_TLS: Final = re.compile(TLS)
_NO_CLIENT: Final = ("", "-")
_SPIFFE: Final = "spiffe://"
_IDENTITY: Final = re.compile(
    r"(?P<account>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)\.(?P<namespace>[a-z0-9-]{1,63})"
    r"\.serviceaccount\.identity\.[a-z0-9-]{1,63}\.(?P<domain>[a-z0-9.-]+)"
)
_IDENTITY_LENGTH_MAX: Final = 253
_VERSIONS: Final = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2.0": "2", "HTTP/3.0": "3"}


class ClientFacts(NamedTuple):
    """Who a client is, by the name in its certificate.

    Attributes:
        spiffe_id: where the name is one.
        trust_domain: of it, or of Linkerd's name.
        namespace: likewise.
        service_account: likewise.
        is_unknown: whether there is a name, and neither is it.
    """

    spiffe_id: str | None = None
    trust_domain: str | None = None
    namespace: str | None = None
    service_account: str | None = None
    is_unknown: bool = False


@remember
def read_client(name: str | None) -> ClientFacts:
    """Read a name such as ``web.shop.serviceaccount.identity.linkerd.cluster.local``.

    A service account can have dots in its name, and so pretend to be a whole identity: the last
    ``.serviceaccount.identity.`` is Linkerd's own.
    """
    if name is None or name in _NO_CLIENT:
        return ClientFacts()
    if name.startswith(_SPIFFE):
        parts = split_spiffe_id(name)
        return ClientFacts(name, *parts, is_unknown=parts.trust_domain is None)
    found = _IDENTITY.fullmatch(name) if len(name) <= _IDENTITY_LENGTH_MAX else None
    if found is None:
        return ClientFacts(is_unknown=True)
    return ClientFacts(None, found["domain"], found["namespace"], found["account"])


class TlsFacts(NamedTuple):
    """The client's name, null without one; and whether nothing could be read."""

    client_id: str | None = None
    is_wrong: bool = False


@remember
def read_tls(text: str | None) -> TlsFacts:
    """Read what the proxy writes of the TLS of a connection."""
    if not text:
        return TlsFacts()
    found = _TLS.fullmatch(text)
    return TlsFacts(found["client_id"]) if found else TlsFacts(is_wrong=True)


class Verdict(NamedTuple):
    """What a message of the policy says.

    Attributes:
        decision: a value of ``Decision``.
        reason: why, of a closed list.
        dry_run: what would have been decided without an audit policy.
    """

    decision: str | None = None
    reason: str | None = None
    dry_run: str | None = None


def read_verdict(message: str | None) -> Verdict:
    """Read a message. That of an audit policy is written where no other policy allows."""
    denied = Decision.DENIED.value
    if message == "Request allowed":
        return Verdict(Decision.ALLOWED.value, "audit policy", denied)
    if message == "Connection terminated due to policy change":
        return Verdict(denied, "policy change")
    return Verdict(denied, "no authorization matched") if message in MESSAGES else Verdict()


def read_version(text: str | None) -> str | None:
    """``2`` for ``HTTP/2.0``, and so on; null for what is no HTTP."""
    return _VERSIONS.get(text) if text else None


def read_layer(target: str | None) -> str | None:
    """``http`` or ``tcp``, by the part of the proxy that wrote a line; null for any other part."""
    found = _TARGET.fullmatch(target) if target else None
    return found["layer"] if found else None
