from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from meshtrail.correlate.call_users import CallUser, users_of_calls
from meshtrail.correlate.calls import COLUMNS, DEPTH_MAX, Call

ISSUER = "https://login.example"


def record(
    index: int, user: str | None = None, trust: str | None = None, issuer: str | None = None
) -> dict[str, Any]:
    told = {"log_index": index, "user_id": user, "user_id_trust": trust, "user_issuer": issuer}
    return {**dict.fromkeys(COLUMNS), **told}


def chain(*calls: Call) -> Call:
    """Each call under the one before; the first of them."""
    for above, below in pairwise(calls):
        above.caused.append(below)
    return calls[0]


def test_user_of_the_entrance_is_carried_down_to_calls_that_name_none() -> None:
    entrance = Call(destination=record(3, "alice", "attested", ISSUER))
    middle, bottom = Call(source=record(4), destination=record(5)), Call(source=record(6))
    users = users_of_calls([chain(entrance, middle, bottom)])
    assert users[entrance] == CallUser("alice", ISSUER, "attested", 3)
    carried = CallUser("alice", ISSUER, "derived", 3, is_carried=True)
    assert (users[middle], users[bottom]) == (carried, carried)


def test_user_that_a_call_names_itself_wins_and_goes_on_from_there() -> None:
    entrance = Call(destination=record(0, "alice", "attested", ISSUER))
    changed = Call(destination=record(1, "mallory", "asserted"))
    bottom = Call(destination=record(2))
    users = users_of_calls([chain(entrance, changed, bottom)])
    assert users[changed] == CallUser("mallory", None, "asserted", 1)
    assert users[bottom] == CallUser("mallory", None, "asserted", 1, is_carried=True)


@pytest.mark.parametrize(
    ("trust", "carried"),
    [("attested", "derived"), ("reported", "derived"), ("asserted", "asserted")],
)
def test_carrying_a_user_down_never_raises_trust(trust: str, carried: str) -> None:
    bottom = Call(source=record(1))
    users = users_of_calls([chain(Call(destination=record(0, "alice", trust)), bottom)])
    assert users[bottom].trust == carried


@pytest.mark.parametrize(
    ("source", "destination", "wanted"),
    [
        (record(0, "eve", "asserted"), record(1, "alice", "attested"), "alice"),
        (record(0, "alice", "attested"), record(1, "eve", "asserted"), "alice"),
        (record(0, "alice", "reported"), record(1, "eve", "asserted"), "alice"),
        (record(0, "eve", "asserted"), record(1, "alice", "asserted"), "alice"),
        (record(0, "alice", "asserted"), record(1), "alice"),
    ],
)
def test_of_two_ends_the_better_known_user_counts_else_the_callees(
    source: dict[str, Any], destination: dict[str, Any], wanted: str
) -> None:
    call = Call(source=source, destination=destination)
    assert users_of_calls([call])[call].user_id == wanted


def test_users_are_carried_neither_up_nor_across() -> None:
    first, named, second = (Call(destination=record(at)) for at in range(3))
    named.destination = record(1, "alice", "attested")
    first.caused += [named, second]
    other = Call(destination=record(9))
    assert set(users_of_calls([first, other])) == {named}


def test_calls_that_only_spans_tell_of_pass_a_user_on() -> None:
    spans, bottom = Call(spans=[record(1)]), Call(source=record(2))
    users = users_of_calls([chain(Call(destination=record(0, "alice", "attested")), spans, bottom)])
    assert users[spans].user_id == users[bottom].user_id == "alice"


def test_user_is_carried_as_deep_as_calls_are_nested() -> None:
    calls = [Call(source=record(at)) for at in range(DEPTH_MAX)]
    calls[0].source = record(0, "alice", "attested")
    users = users_of_calls([chain(*calls)])
    assert len(users) == DEPTH_MAX
