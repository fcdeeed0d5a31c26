from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.correlate.pairing import PairingOptions
from meshtrail.correlate.pairing.places import Place, learn_places, read_places
from meshtrail.correlate.pairing.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 24 * 3_600 * 1_000_000_000
NOW = 1_763_712_000_000_000_000
WEB = ("spiffe://mesh/ns/shop/sa/web", "sidecar~web-0")

moments = st.integers(min_value=NOW - DAY // 2, max_value=NOW)
reporters = st.sampled_from([WEB, (None, "sidecar~db-0"), ("spiffe://mesh/ns/shop/sa/pay", None)])


def reported(ip: str, reporter: tuple[str | None, str | None], at_ns: int) -> Place:
    return Place(ip, *reporter, at_ns, None)


def known(places: Sequence[Place], *, now_ns: int = NOW) -> list[Place]:
    state = State(PairingOptions())
    learn_places(state, places)
    return read_places(state, now_ns)


@given(
    st.dictionaries(
        st.sampled_from([f"10.0.0.{last}" for last in range(1, 40)]),
        st.one_of(
            st.tuples(reporters, moments, st.none() | moments),
            st.tuples(st.just((None, None)), st.none(), moments),
        ),
    )
)
def test_what_is_learned_is_what_was_known(
    said: dict[str, tuple[tuple[str | None, str | None], int | None, int | None]],
) -> None:
    # Whoever reports from many addresses is heard at all of them at once.
    newest: dict[tuple[str | None, str | None], int] = {}
    for names, at_ns, _ in said.values():
        if at_ns is not None:
            newest[names] = max(newest.get(names, 0), at_ns)
    places = [
        Place(ip, *names, newest.get(names), shown_ns) for ip, (names, _, shown_ns) in said.items()
    ]
    assert known(places) == places
    assert known(known(places)) == places


@pytest.mark.parametrize("at_ns", [NOW - 2 * DAY, NOW - 30 * DAY])
def test_an_address_from_which_nobody_reported_for_a_day_is_no_proxys_any_more(at_ns: int) -> None:
    here = reported("10.0.0.2", ("", "here"), NOW)
    assert known([reported("10.0.0.1", WEB, at_ns), here]) == [here]


def test_an_address_that_was_given_to_another_proxy_is_the_last_ones() -> None:
    first, then = reported("10.0.0.1", WEB, NOW - 5), reported("10.0.0.1", ("", "new"), NOW)
    assert known([first, then]) == [then]


def test_nobody_is_known_at_first() -> None:
    assert known([]) == []
