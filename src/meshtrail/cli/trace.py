"""``meshtrail trace``."""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any, Final

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_json_option, make_parser
from meshtrail.cli.search_options import (
    add_log_options,
    add_period_options,
    open_searcher,
    read_period,
    with_relative_times,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from meshtrail.correlate.call_users import CallUser
    from meshtrail.correlate.calls import Call

ENTRIES_MAX: Final = 10_000
_TRACE_ID: Final = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{16}")
_NANOS_PER_MS: Final = 1_000_000

_ABOUT = """
    Shows one trace or one request as a tree of calls: who called whom, what was asked, answered and
    decided, from both ends, with the entries that say so.

    ID is a trace id of 32 or 16 hex digits, or a request id: a UUID or whatever stood in
    x-request-id. The two ends of a call are joined by the addresses of the connection between the
    two proxies; a call stands under the one that its caller was serving at that moment. A call that
    only one end reported says so: that end, or the record of the other, is worth a look.

    Spans, where there are some, stand in the call that they tell of, and their parents say what
    caused it, unless an identity contradicts. Where only spans tell of a call, its names are what
    their senders call themselves, with a question mark.

    USER, where a record names one, is the user on whose behalf a call was made, and how that is
    known. A call that names none has that of the call that caused it (`derived`, and `asserted`
    where a header named it); one that names another shows that other.

    Ids of traces and requests are headers that anyone can set (`asserted`): entries of a forged id
    stand in the tree like all others.
"""
_EXAMPLES = (
    ("meshtrail trace 4bf92f3577b34da6a3ce929d0e0e4736", "The calls of one trace."),
    (
        "meshtrail trace 8c1a2b3c-0d0e-4f10-8111-121314151617 --json",
        "One request, as one JSON object with nested calls.",
    ),
)


def make_trace_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail trace``."""
    parser = make_parser(
        "trace",
        _ABOUT,
        usage="ID [options]",
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.BAD_INPUT,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    parser.add_argument("id", metavar="ID", help="a trace id or a request id")
    add_period_options(parser)
    add_json_option(parser, "one object with the calls nested")
    add_log_options(parser)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_trace_parser().parse_args(with_relative_times(argv))
    from meshtrail.app.clock import SystemClock
    from meshtrail.correlate.call_users import users_of_calls
    from meshtrail.correlate.calls import COLUMNS, build_calls
    from meshtrail.errors import NotFoundError
    from meshtrail.search.plan import SearchRequest

    now_ns = SystemClock().wall_ns()
    request = SearchRequest(
        query=_query(arguments.id),
        period=read_period(arguments, now_ns=now_ns),
        columns=COLUMNS,
        limit=ENTRIES_MAX,
    )
    searcher, trusted = open_searcher(arguments)
    with searcher:
        plan = searcher.plan(request, now_ns=now_ns)
        rows = [row for batch in searcher.find(plan) for row in batch.to_pylist()]
    searched = f"{plan.catalogue.tree_size} sealed entries of {plan.catalogue.origin}"
    if not rows:
        raise NotFoundError(f"nothing has the id {arguments.id} in {searched}", id=arguments.id)
    calls = build_calls(rows)
    users = users_of_calls(calls)
    if arguments.json:
        found = {"id": arguments.id, "log": plan.catalogue.origin, "entries": len(rows)}
        print(json.dumps({**found, "calls": [_as_json(call, users) for call in calls]}))
        return exit_codes.OK
    for line in _lines(calls, users):
        print(line)
    sys.stdout.flush()
    more = f"; only the newest {ENTRIES_MAX} are shown" if len(rows) == ENTRIES_MAX else ""
    print(f"{len(rows)} entries in {searched}{more}", trusted.render(), sep="\n", file=sys.stderr)
    return exit_codes.OK


def _query(text: str) -> str:
    """The query that finds an id; quoted, so that nothing in it is of the language."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'{"trace" if _TRACE_ID.fullmatch(text) else "request"}:"{quoted}"'


def _lines(calls: Sequence[Call], users: Mapping[Call, CallUser]) -> list[str]:
    """The table; a column for users only where there are some."""
    from meshtrail.search.table import AlignedLines

    titles = ("CALL", "REQUEST", "STATUS", "DECISION", "TOOK", "USER", "ENTRIES", "TRUST")
    shown = [at for at, title in enumerate(titles) if users or title != "USER"]
    elastic = [titles[at] in {"REQUEST", "DECISION", "USER"} for at in shown]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    lines = AlignedLines([titles[at] for at in shown], elastic, width=width)
    for call in calls:
        cells = _cells(call, users, indent="", below="")
        lines.add([row[at] for at in shown] for row in cells)
    return lines.take()


def _cells(
    call: Call, users: Mapping[Call, CallUser], *, indent: str, below: str
) -> Iterator[tuple[str, ...]]:
    """The cells of a call and of those under it.

    Args:
        call: the call.
        users: of the calls.
        indent: what stands before it.
        below: what stands before the calls under it.
    """
    from meshtrail.search.table import NULL, escape, weakest_trust

    status, duration = call.first("http_response_status_code"), call.first("duration")
    status = call.first("span_status") if status is None else status
    policy = call.first("policy_name")
    yield (
        f"{indent}{_end(call, call.caller)} → {_end(call, call.callee)}",
        escape(_request(call)),
        NULL if status is None else escape(str(status)),
        escape(f"{call.first('decision') or NULL}{f' by {policy}' if policy else ''}"),
        f"{duration / _NANOS_PER_MS:.1f} ms" if isinstance(duration, int) else NULL,
        _user(users.get(call)),
        _entries(call),
        weakest_trust(call.told[-1]),
    )
    for at, caused in enumerate(call.caused, start=1):
        is_last = at == len(call.caused)
        yield from _cells(
            caused,
            users,
            indent=below + ("└─ " if is_last else "├─ "),
            below=below + ("   " if is_last else "│  "),
        )


def _user(user: CallUser | None) -> str:
    from meshtrail.search.table import NULL, escape

    return NULL if user is None else f"{escape(user.user_id)} ({user.trust})"


def _entries(call: Call) -> str:
    told = ", ".join(f"{row['log_index']} {row['side'] or 'unknown side'}" for row in call.records)
    if call.records and call.joined_by is None:
        told += " only"
    spans = ", ".join(str(row["log_index"]) for row in call.spans)
    return "; ".join(filter(None, (told, f"spans {spans}" if spans else "")))


def _request(call: Call) -> str:
    """Method and path; of a call that has neither, the method of an RPC or the name of a span."""
    from meshtrail.search.table import NULL

    method, path = call.first("http_request_method"), call.first("url_path")
    if method is None and path is None and not call.records:
        return str(call.first("rpc_method") or call.first("span_name", of="source") or NULL)
    return f"{method or NULL} {path or NULL}"


def _end(call: Call, name: str | None) -> str:
    """Who called or was called. What senders of spans call themselves must not pass for an ID."""
    from meshtrail.search.table import escape

    if call.records or name is None:
        return _short(name)
    return f"{escape(name)}?"


def _short(name: str | None) -> str:
    """A SPIFFE ID as NAMESPACE/SERVICE-ACCOUNT where it is one of Istio's; anything else whole."""
    from meshtrail.search.table import NULL, escape

    if name is None:
        return NULL
    match = re.fullmatch(r"spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)", name)
    return escape(f"{match[1]}/{match[2]}" if match else name)


def _as_json(call: Call, users: Mapping[Call, CallUser]) -> dict[str, Any]:
    from meshtrail.search.json_lines import plain_value

    user = users.get(call)

    def plain(row: dict[str, Any] | None) -> dict[str, Any] | None:
        if row is None:
            return None
        return {name: plain_value(name, value) for name, value in row.items() if value is not None}

    return {
        "caller": call.caller,
        "callee": call.callee,
        "joined_by": call.joined_by,
        "user": user and user.user_id,
        "user_issuer": user and user.issuer,
        "user_trust": user and user.trust,
        "user_from": user and user.log_index,
        "source": plain(call.source),
        "destination": plain(call.destination),
        "spans": [plain(span) for span in call.spans],
        "caused": [_as_json(one, users) for one in call.caused],
    }
