from __future__ import annotations

import pytest

from meshtrail.demo.behaviour import Call, Route, answer_status, fill, find_route

ROUTES = (
    Route("GET", "/items/404", status=404),
    Route("GET", "/items/{item}"),
    Route("POST", "/items/{item}/reviews/{review}", status=201),
)


def test_first_route_that_fits_counts() -> None:
    assert find_route(ROUTES, method="GET", path="/items/404") == (ROUTES[0], {})
    assert find_route(ROUTES, method="GET", path="/items/405") == (ROUTES[1], {"item": "405"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/items/7"),
        ("GET", "/items"),
        ("GET", "/items/"),
        ("GET", "/items/7/8"),
        ("GET", "x/items/7"),
    ],
)
def test_request_of_another_method_or_shape_has_no_route(method: str, path: str) -> None:
    assert find_route(ROUTES, method=method, path=path) is None


def test_calls_are_filled_with_the_parameters_of_their_route() -> None:
    found = find_route(ROUTES, method="POST", path="/items/7/reviews/b")
    assert found is not None
    assert fill("/stars/{review}/of/{item}", found[1]) == "/stars/b/of/7"


@pytest.mark.parametrize(
    ("call_statuses", "status"),
    [([], 201), ([200, 204], 201), ([200, 404], 404), ([403, 500], 403), ([500, 404], 502)],
)
def test_first_failed_call_decides_the_answer(call_statuses: list[int], status: int) -> None:
    route = Route("POST", "/orders", status=201, calls=(Call("payments", "POST", "/charges"),))
    assert answer_status(route, call_statuses) == status
