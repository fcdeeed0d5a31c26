"""Signed tokens (JWT) that name users, and the filter with which an Envoy verifies them."""

from __future__ import annotations

import base64
import json
import time
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.e2e.wired_proxy import Config, typed

NUMBER_BYTES: Final = 32
LASTS_S: Final = 3_600
_FILTER: Final = "envoy.filters.http.jwt_authn"


class TokenIssuer:
    """Somebody who signs tokens.

    Attributes:
        name: what its tokens call it.
    """

    def __init__(self, name: str, *, key_id: str = "key-1") -> None:
        self.name = name
        self._key_id = key_id
        self._key = ec.generate_private_key(ec.SECP256R1())

    def jwks(self) -> str:
        """Its public key, as a proxy reads it."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self._key_id}
        return json.dumps({"keys": [key | {"x": _number(numbers.x), "y": _number(numbers.y)}]})

    def sign(self, subject: str | None, *, lasts_s: int = LASTS_S, **claims: Any) -> str:
        """A token that names the subject; one that lasts less than no time has expired."""
        now_s = int(time.time())  # noqa: TID251 - Envoy holds validity against the machine's clock
        named = {} if subject is None else {"sub": subject}
        said = {"iss": self.name, **named, "iat": now_s - 2 * LASTS_S, "exp": now_s + lasts_s}
        signed = f"{self._head()}.{_encode(json.dumps(said | claims).encode())}"
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(signature)
        return f"{signed}.{_pair(r, s)}"

    def unsigned(self, subject: str) -> str:
        """A token that nobody signed."""
        head = _encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
        return f"{head}.{_encode(json.dumps({'iss': self.name, 'sub': subject}).encode())}."

    def _head(self) -> str:
        head = {"alg": "ES256", "kid": self._key_id, "typ": "JWT"}
        return _encode(json.dumps(head).encode())


def bearer(token: str) -> dict[str, str]:
    """The header with which a request shows a token."""
    return {"authorization": f"Bearer {token}"}


def jwt_filter(providers: Config, rules: list[Config]) -> Config:
    """Envoy's JWT filter."""
    return typed(
        _FILTER,
        "filters.http.jwt_authn.v3.JwtAuthentication",
        providers=providers,
        rules=rules,
    )


def provider(issuer: TokenIssuer, *, key: str, header: str | None = None) -> Config:
    """Whose tokens are verified, where they are, and under which key their payload is told.

    Args:
        issuer: who signs them.
        key: of the payload.
        header: that carries a token; ``authorization`` by default.
    """
    where = {} if header is None else {"from_headers": [{"name": header}]}
    return {
        "issuer": issuer.name,
        "local_jwks": {"inline_string": issuer.jwks()},
        "payload_in_metadata": key,
        **where,
    }


def optional(name: str) -> Config:
    """The requirement that lets everybody through, and verifies what it is shown."""
    requirements = [{"provider_name": name}, {"allow_missing_or_failed": {}}]
    return {"requires_any": {"requirements": requirements}}


def _pair(one: int, other: int) -> str:
    return _encode(one.to_bytes(NUMBER_BYTES, "big") + other.to_bytes(NUMBER_BYTES, "big"))


def _number(value: int) -> str:
    return _encode(value.to_bytes(NUMBER_BYTES, "big"))


def _encode(data: bytes) -> str:
    """Base64 as tokens have it: for addresses, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
