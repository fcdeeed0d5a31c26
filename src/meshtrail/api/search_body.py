"""What may be asked of a search, in a query string or in a JSON body: the same by either way."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from meshtrail.errors import QueryError, RequestError
from meshtrail.search.fields import find_field
from meshtrail.search.moments import parse_moment
from meshtrail.search.period import Period
from meshtrail.search.plan import SearchRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meshtrail.units import UnixNanos

LIMIT_DEFAULT: Final = 100

Form = Literal["json", "ndjson", "arrow"]


class SearchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One search.

    Attributes:
        q: in the query language; empty for everything.
        sql: one SELECT over ``events`` instead; not in a query string.
        from_: received at this time or later.
        to: received before this time.
        limit: rows at most.
        columns: by name or short name; all of them when empty.
        format: of the rows.
    """

    q: str = ""
    sql: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    limit: int = LIMIT_DEFAULT
    columns: tuple[str, ...] = ()
    format: Form = "json"

    def make_period(self, *, now_ns: UnixNanos) -> Period:
        """When what is looked for arrived.

        Raises:
            QueryError: no moments, or none between them.
        """
        return read_period(self.from_, self.to, now_ns=now_ns)

    def make_request(self, *, now_ns: UnixNanos) -> SearchRequest:
        """The search as ``Searcher.plan`` takes it, for one row more: it says if there are more.

        Raises:
            QueryError: a column that does not exist, or no period.
        """
        return SearchRequest(
            query=self.q,
            period=self.make_period(now_ns=now_ns),
            columns=find_columns(self.columns),
            limit=self.limit + 1,
        )


def parse_search_query(pairs: Sequence[tuple[str, str]]) -> SearchBody:
    """A search from the parameters of a query string.

    Raises:
        RequestError: a parameter that does not exist, stands twice, or has no such value.
    """
    known = {"q", "from", "to", "limit", "columns", "format"}
    given = read_parameters(pairs, known)
    values: dict[str, object] = {**given}
    if "columns" in given:
        values["columns"] = split_names(given["columns"])
    try:
        return msgspec.convert(values, SearchBody, strict=False)
    except msgspec.ValidationError as error:
        raise RequestError(_spoken(error)) from error


def parse_search_body(data: bytes) -> SearchBody:
    """A search from a JSON body.

    Raises:
        RequestError: no JSON, or not the JSON of a search.
    """
    try:
        body = msgspec.json.decode(data, type=SearchBody)
    except (msgspec.DecodeError, RecursionError) as error:
        # ValidationError is a DecodeError too.
        raise RequestError(f"the body is no search: {_spoken(error)}") from error
    if body.sql is not None and (body.q or body.columns):
        raise RequestError("sql stands alone: neither q nor columns go with it")
    return body


def check_limit(body: SearchBody, *, rows_max: int) -> None:
    """Return when a search asks for rows, and for no more than may be.

    Raises:
        QueryError: it does not.
    """
    if not 1 <= body.limit <= rows_max:
        raise QueryError(f"a limit is 1 to {rows_max}, got {body.limit}", limit_max=rows_max)


def find_columns(names: Iterable[str]) -> tuple[str, ...]:
    """The columns that some names and short names stand for, each once.

    Raises:
        QueryError: there is no such field; names the nearest one.
    """
    return tuple(dict.fromkeys(find_field(name).name for name in names))


def split_names(text: str) -> tuple[str, ...]:
    """Names that stand between commas."""
    return tuple(name for name in text.split(",") if name)


def read_period(from_: str | None, to: str | None, *, now_ns: UnixNanos) -> Period:
    """Read both ends as people write them; None leaves an end open.

    Raises:
        QueryError: no moments, or none between them; names the parameters, not the options.
    """
    from_ns = None if from_ is None else parse_moment(from_, now_ns=now_ns)
    to_ns = None if to is None else parse_moment(to, now_ns=now_ns)
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise QueryError("from is not before to: no moment lies between them")
    return Period(from_ns=from_ns, to_ns=to_ns)


def read_parameters(pairs: Sequence[tuple[str, str]], known: set[str]) -> dict[str, str]:
    """The parameters of a query string; a typo must not silently mean the default.

    Raises:
        RequestError: one that does not exist, or that stands twice.
    """
    for name, count in Counter(name for name, _ in pairs).items():
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            names = ", ".join(sorted(known)) or "none"
            hint = f"did you mean {near[0]}?" if near else f"known are {names}"
            raise RequestError(f"there is no parameter {name[:80]!r}: {hint}", parameter=name[:80])
        if count > 1:
            raise RequestError(f"parameter {name} stands {count} times", parameter=name)
    return dict(pairs)


def _spoken(error: Exception) -> str:
    message = str(error) or "nested too deeply"
    return message[0].lower() + message[1:]
