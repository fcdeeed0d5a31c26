"""On whose behalf a request is made: by a verified token, else by a header that anyone can set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.event import Trust
from meshtrail.sources.columns import mask_null, plain, without
from meshtrail.sources.jwt_payloads import JwtFacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meshtrail.sources.event_columns import EventColumns
    from meshtrail.sources.streams import Reporters


@dataclass(frozen=True, slots=True)
class UserWords:
    """Who is named; string[n] each.

    Attributes:
        user_id: by verified tokens.
        issuer: of the token that names the user.
        problem: why nobody, or not all of them, could be told.
        header: by the first header that says something.
    """

    user_id: pa.Array
    issuer: pa.Array
    problem: pa.Array
    header: pa.Array


def make_words(facts: Mapping[str, pa.Array], headers: Iterable[pa.Array]) -> UserWords:
    """Who is named.

    Args:
        facts: a column for each field of ``JwtFacts``, row for row.
        headers: string[n] for each of ``USER_HEADERS``.
    """
    said = [without(header, pc.equal(header, "")) for header in headers]
    user_id, issuer, problem = (plain(facts[name]) for name in JwtFacts._fields)
    return UserWords(user_id, issuer, problem, header=pc.coalesce(*said))


def tell_user(out: EventColumns, words: UserWords, *, own: pa.Array, reporters: Reporters) -> None:
    """The user, who says so, and how far that can be held to somebody.

    Args:
        out: what to fill.
        words: who is named.
        own: string[n], the SPIFFE ID of the certificate that the proxy showed its caller.
        reporters: who sent each record.
    """
    columns = out.columns
    is_verified = pc.is_valid(words.user_id)
    held = reporters.held_to(plain(own), absent_is_held=True)
    how = pc.if_else(held, Trust.ATTESTED.value, Trust.REPORTED.value)
    how = pc.if_else(is_verified, how, Trust.ASSERTED.value)
    columns["user_id"] = pc.coalesce(words.user_id, words.header)
    columns["user_id_trust"] = mask_null(how, pc.is_valid(columns["user_id"]))
    columns["user_issuer"] = words.issuer
    out.note(words.problem)
