"""Payloads of tokens that Envoy's JWT filter has verified, as it writes them into its metadata.

Under each key stands one payload, and only of a token that was verified: nothing for one that is
missing, expired or forged, whatever the filter then lets through. Other things can stand there (the
head of a token, why one failed); they name no subject.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from google.protobuf.message import DecodeError

from meshtrail.model.users import ISSUER, SUBJECT
from meshtrail.sources.als_schema import payloads_descriptor
from meshtrail.sources.envoy_messages import NOT_JSON, parse_message, plain_reason
from meshtrail.sources.envoy_values import remember

if TYPE_CHECKING:
    from collections.abc import Mapping

    Payloads = Mapping[str, Mapping[str, str]]
    """By key, the claims that are texts."""

SEVERAL_USERS: Final = "verified tokens of several users"
UNREADABLE: Final = "metadata of the JWT filter"


class JwtFacts(NamedTuple):
    """Whom verified tokens name; null where they name nobody.

    Attributes:
        user_id: the subject.
        issuer: who issued the token that names it.
        problem: why nobody, or why not all of them, could be told.
    """

    user_id: str | None = None
    issuer: str | None = None
    problem: str | None = None


@remember
def read_payloads(data: bytes | None) -> JwtFacts:
    """Read the ``Struct`` of the JWT filter's dynamic metadata."""
    if not data:
        return JwtFacts()
    try:
        struct = parse_message(payloads_descriptor(), data)
    except DecodeError as verdict:
        return JwtFacts(problem=f"{UNREADABLE}: {plain_reason(verdict)}")
    # Of equal keys the last counts, as in protobuf maps.
    return _choose(
        {
            field.key: {
                claim.key: claim.value.string_value for claim in field.value.struct_value.fields
            }
            for field in struct.fields
        }
    )


@remember
def read_payloads_json(text: str | None) -> JwtFacts:
    """Read the same ``Struct`` as an Envoy writes it into a text: a JSON object."""
    if not text:
        return JwtFacts()
    try:
        struct = json.loads(text)
        if isinstance(struct, dict):
            return _choose({key: _texts(one) for key, one in struct.items()})
    except (ValueError, RecursionError):
        # A ValueError also where half of a surrogate pair is left, which no column holds.
        pass
    return JwtFacts(problem=f"{UNREADABLE}: {NOT_JSON}")


def _choose(payloads: Payloads) -> JwtFacts:
    """The user of the payload whose key comes first; protobuf maps have no order of their own.

    Raises:
        ValueError: a name holds half of a surrogate pair.
    """
    named = [
        (claims[SUBJECT], claims.get(ISSUER) or None)
        for _, claims in sorted(payloads.items(), key=lambda item: item[0])
        if claims.get(SUBJECT)
    ]
    if not named:
        return JwtFacts()
    for subject, issuer in named:
        f"{subject}{issuer}".encode()
    [first, *others] = named
    return JwtFacts(*first, SEVERAL_USERS if any(other != first for other in others) else None)


def _texts(value: object) -> dict[str, str]:
    """The members of an object that are texts; none of anything else."""
    members = value.items() if isinstance(value, dict) else ()
    return {key: member for key, member in members if isinstance(member, str)}
