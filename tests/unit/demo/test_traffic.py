from __future__ import annotations

from collections import Counter

import pytest

from meshtrail.demo.traffic import (
    Answer,
    Visit,
    count_calls_of_customers,
    count_statuses,
    find_order,
    plan_visits,
)
from meshtrail.demo.workloads import BROKEN_CARD, CHECKOUT, FRONTEND, MISSING_ITEM
from meshtrail.errors import UnavailableError


def answer(path: str, status: int) -> Answer:
    return Answer(Visit(0, "POST", path, "0" * 32), status)


def test_every_visit_has_a_trace_of_its_own() -> None:
    visits = plan_visits()
    assert len({visit.trace_id for visit in visits}) == len(visits)
    assert {len(bytes.fromhex(visit.trace_id)) for visit in visits} == {16}


def test_day_is_the_same_each_time_but_for_its_ids() -> None:
    days = [[(visit.browser, visit.method, visit.path) for visit in plan_visits()] for _ in "12"]
    assert days[0] == days[1]


def test_day_is_varied_and_some_things_go_wrong() -> None:
    paths = Counter(visit.path for visit in plan_visits())
    assert len(paths) > 30
    for path in (f"/orders/{BROKEN_CARD}", f"/items/{MISSING_ITEM}", "/admin", "/account/1001"):
        assert paths[path], path


def test_order_that_the_tour_shows_is_one_that_went_well() -> None:
    answers = [answer("/orders/1007", 502), answer("/shop/1", 201), answer("/orders/1001", 201)]
    assert find_order(answers) is answers[2].visit


def test_shop_that_takes_no_order_does_not_work() -> None:
    with pytest.raises(UnavailableError, match="took no order"):
        find_order([answer("/orders/1001", 502)])


def test_statuses_are_counted_in_their_order() -> None:
    answers = [answer("/", status) for status in (404, 200, 404)]
    assert list(count_statuses(answers).items()) == [(200, 1), (404, 2)]


def test_accounts_and_orders_are_what_calls_customers() -> None:
    callers = [
        route.path.partition("{")[0]
        for route in (*FRONTEND.routes, *CHECKOUT.routes)
        for call in route.calls
        if call.to == "customers"
    ]
    assert callers == ["/account/", "/checkout/"]
    paths = ["/account/1", "/orders/1", f"/orders/{BROKEN_CARD}", "/shop/1", "/admin", "/items/1"]
    assert count_calls_of_customers([answer(path, 200) for path in paths]) == 3


def test_hours_of_a_day_are_its_first() -> None:
    day, hour = ([one.path for one in plan_visits(hours_count=count)] for count in (3, 1))
    assert 0 < len(hour) < len(day)
    assert day[: len(hour)] == hour
