"""Where requests name the user on whose behalf they are made. Data only.

What Envoy's JWT filter has verified, and headers, which anyone can set.

Source: envoy.extensions.filters.http.jwt_authn.v3; RFC 7519 section 4.1.
"""

from __future__ import annotations

from typing import Final

JWT_FILTER: Final = "envoy.filters.http.jwt_authn"
"""The namespace of dynamic metadata in which payloads of verified tokens stand, each under a key
that the proxy's configuration chooses (``payload_in_metadata``)."""

SUBJECT: Final = "sub"
ISSUER: Final = "iss"
"""The claims that are read."""

USER_HEADERS: Final = (
    "x-user-id",
    "x-forwarded-user",
    "x-auth-request-user",
    "x-auth-request-email",
)
"""Headers that name a user, the first that says something counts. None of them carries a secret,
and none may ever be here that does."""
