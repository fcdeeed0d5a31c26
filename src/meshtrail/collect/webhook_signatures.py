"""Whether a webhook was made by who shares a secret with us; in time that tells nothing of it."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from meshtrail.errors import UnauthenticatedError

_GITHUB: Final = re.compile(r"sha256=([0-9a-f]{64})", re.ASCII)


def check_github_signature(secret: bytes, body: bytes, header: str | None) -> None:
    """Return when the header is the HMAC of this body.

    Args:
        secret: that GitHub was given with the webhook.
        body: as it came.
        header: ``X-Hub-Signature-256``; None where there is none.

    Raises:
        UnauthenticatedError: it is missing, malformed or of another body or secret.
    """
    if header is None:
        raise UnauthenticatedError("no X-Hub-Signature-256: give the webhook a secret")
    match = _GITHUB.fullmatch(header)
    if match is None:
        raise UnauthenticatedError("X-Hub-Signature-256 is not sha256= and 64 hex digits")
    wanted = hmac.new(secret, body, hashlib.sha256).digest()
    if not hmac.compare_digest(wanted, bytes.fromhex(match[1])):
        raise UnauthenticatedError("X-Hub-Signature-256 is not of this body and our secret")


def check_gitlab_token(secret: bytes, header: str | None) -> None:
    """Return when the header is the secret.

    Args:
        secret: that GitLab was given with the webhook.
        header: ``X-Gitlab-Token``; None where there is none.

    Raises:
        UnauthenticatedError: it is missing, or not the secret.
    """
    if header is None:
        raise UnauthenticatedError("no X-Gitlab-Token: give the webhook a secret token")
    if not hmac.compare_digest(secret, header.encode("latin-1", errors="replace")):
        raise UnauthenticatedError("X-Gitlab-Token is not our secret")
