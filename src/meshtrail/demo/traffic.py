"""A normal day in the shop: what its customers ask for, and how it was answered.

Every browser gives its request a trace (W3C ``traceparent``), as instrumented pages do.
"""

from __future__ import annotations

import http.client
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from meshtrail.demo.workloads import BROKEN_CARD, MISSING_ITEM
from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ANSWER_S_MAX: Final = 30.0
CUSTOMERS: Final = tuple(str(number) for number in range(1001, 1013))
HOURS: Final = 3
_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 19_1 like Mac OS X) AppleWebKit/605.1.15",
    "shop-android/8.3 okhttp/5.3.0",
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one customer's browser.

    Attributes:
        browser: a number; which address it calls from follows from it.
        trace_id: 32 hex digits.
    """

    browser: int
    method: str
    path: str
    trace_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a visit was answered."""

    visit: Visit
    status: int


def plan_visits(*, hours_count: int = HOURS) -> list[Visit]:
    """The requests of a day's first hours: the same each time, but for their ids."""
    return [
        Visit(at, method, path, secrets.token_hex(16))
        for hour in range(hours_count)
        for at, customer in enumerate(CUSTOMERS)
        for method, path in _wishes(customer, at + hour)
    ]


def find_order(answers: Iterable[Answer]) -> Visit:
    """The first order that went well.

    Raises:
        UnavailableError: none did: the shop does not work.
    """
    for answer in answers:
        if answer.visit.path.startswith("/orders/") and answer.status == HTTPStatus.CREATED:
            return answer.visit
    raise UnavailableError("the shop took no order: its services do not reach one another")


def _wishes(customer: str, at: int) -> list[tuple[str, str]]:
    wishes = [("GET", f"/shop/{customer}"), ("GET", f"/items/{10 + at}")]
    if at % 2 == 0 or customer == BROKEN_CARD:
        wishes += [("POST", f"/orders/{customer}"), ("GET", f"/account/{customer}")]
    if at % 5 == 0:
        wishes += [("GET", f"/items/{MISSING_ITEM}")]
    if at % 7 == 0:
        wishes += [("GET", "/admin")]
    return wishes


def send_visits(
    visits: Sequence[Visit], *, to: tuple[str, int], browser_ips: Sequence[str]
) -> list[Answer]:
    """Send every visit, each address one after the other and all addresses at once.

    Args:
        visits: what to ask for.
        to: address and port of the shop's entrance.
        browser_ips: where customers call from.

    Returns:
        One answer for each visit.
    """
    shares = [visits[first :: len(browser_ips)] for first in range(len(browser_ips))]
    with ThreadPoolExecutor(len(browser_ips)) as pool:
        running = [
            pool.submit(_send_from, ip, share, to)
            for ip, share in zip(browser_ips, shares, strict=True)
        ]
        return [answer for one in running for answer in one.result()]


def count_calls_of_customers(answers: Iterable[Answer]) -> int:
    """How many calls of the service ``customers`` visits caused: one for each account and order."""
    return sum(answer.visit.path.startswith(("/account/", "/orders/")) for answer in answers)


def count_statuses(answers: Sequence[Answer]) -> dict[int, int]:
    """How often each status was answered, by status."""
    return dict(sorted(Counter(answer.status for answer in answers).items()))


def _send_from(ip: str, visits: Sequence[Visit], to: tuple[str, int]) -> list[Answer]:
    connection = http.client.HTTPConnection(*to, timeout=ANSWER_S_MAX, source_address=(ip, 0))
    answers = []
    try:
        for visit in visits:
            headers = {
                "host": "shop.example",
                "user-agent": _AGENTS[visit.browser % len(_AGENTS)],
                "traceparent": f"00-{visit.trace_id}-{secrets.token_hex(8)}-01",
            }
            connection.request(visit.method, visit.path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            answers.append(Answer(visit, answer.status))
    finally:
        connection.close()
    return answers
