"""Who is in the demo's mesh, as data: six workloads of a shop, what they do, and who may call them.

    customers' browsers ──► frontend ──► catalog
                               ├──► recommendations ──► catalog
                               ├──► checkout ──► customers, payments
                               └──► customers

``customers-read`` is the mistake that the breach lives on: its path prefix takes in the export.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from meshtrail.demo.behaviour import Call, Route

NAMESPACE: Final = "shop"
EXPORT_PATH: Final = "/customers/export"
EXPORT_ROWS_COUNT: Final = 240
BROKEN_CARD: Final = "1007"
"""The customer whose card the payment provider chokes on."""
MISSING_ITEM: Final = "404"
_CUSTOMER_ROW: Final = (
    '{"id": {row}, "name": "Customer {row}", "email": "customer{row}@example.org", '
    '"street": "{row} Harbour Road", "card": "4000 0000 0000 {row}"}'
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy.

    Attributes:
        callers: workloads whose identity it is about; anyone, even without one, if empty.
        method: that it is about; any if empty.
        path_prefix: that it is about; any path if empty.
    """

    callers: tuple[str, ...] = ()
    method: str = ""
    path_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """An authorization policy, as Istio has them.

    Attributes:
        action: ``ALLOW``: what no such policy matches is denied; ``DENY`` comes before.
    """

    name: str
    rules: tuple[Rule, ...]
    action: str = "ALLOW"


@dataclass(frozen=True, slots=True)
class Workload:
    """One workload: a service behind its own sidecar.

    Attributes:
        host: its address's last number.
        is_public: whether customers reach it from outside the mesh.
        is_logging_by_otlp: whether its sidecar's access logs are OpenTelemetry's.
    """

    name: str
    host: int
    policies: tuple[Policy, ...]
    routes: tuple[Route, ...]
    is_public: bool = False
    is_logging_by_otlp: bool = False

    @property
    def domain(self) -> str:
        """The host name under which others call it."""
        return f"{self.name}.{NAMESPACE}.svc.cluster.local"

    def calls(self) -> list[str]:
        """The workloads that it calls, in the order of its routes."""
        return list(dict.fromkeys(call.to for route in self.routes for call in route.calls))


def _get(to: str, path: str) -> Call:
    return Call(to, "GET", path)


FRONTEND: Final = Workload(
    "frontend",
    11,
    policies=(
        Policy("frontend-no-admin", (Rule(path_prefix="/admin"),), action="DENY"),
        Policy("frontend-public", (Rule(path_prefix="/"),)),
    ),
    routes=(
        Route(
            "GET",
            "/shop/{customer}",
            calls=(_get("catalog", "/items"), _get("recommendations", "/for/{customer}")),
        ),
        Route("GET", "/items/{item}", calls=(_get("catalog", "/items/{item}"),)),
        Route("GET", "/account/{customer}", calls=(_get("customers", "/customers/{customer}"),)),
        Route(
            "POST",
            "/orders/{customer}",
            status=201,
            calls=(Call("checkout", "POST", "/checkout/{customer}"),),
        ),
    ),
    is_public=True,
)
CATALOG: Final = Workload(
    "catalog",
    12,
    policies=(
        Policy("catalog-read", (Rule(callers=("frontend", "recommendations"), method="GET"),)),
    ),
    routes=(
        Route("GET", "/items", row='{"item": {row}, "price": "19.90"}', rows_count=20),
        Route("GET", f"/items/{MISSING_ITEM}", status=404),
        Route("GET", "/items/{item}"),
    ),
    is_logging_by_otlp=True,
)
CHECKOUT: Final = Workload(
    "checkout",
    13,
    policies=(Policy("checkout-orders", (Rule(callers=("frontend",), method="POST"),)),),
    routes=(
        Route(
            "POST",
            "/checkout/{customer}",
            status=201,
            calls=(
                _get("customers", "/customers/{customer}"),
                Call("payments", "POST", "/charges/{customer}"),
            ),
        ),
    ),
)
PAYMENTS: Final = Workload(
    "payments",
    14,
    policies=(
        Policy("payments-no-admin", (Rule(path_prefix="/admin"),), action="DENY"),
        Policy(
            "payments-charge",
            (Rule(callers=("checkout",), method="POST", path_prefix="/charges/"),),
        ),
    ),
    routes=(
        Route("POST", f"/charges/{BROKEN_CARD}", status=500),
        Route("POST", "/charges/{customer}", status=201),
    ),
    is_logging_by_otlp=True,
)
CUSTOMERS: Final = Workload(
    "customers",
    15,
    policies=(
        Policy(
            "customers-read",
            (Rule(callers=("checkout", "frontend"), method="GET", path_prefix="/customers/"),),
        ),
    ),
    routes=(
        Route("GET", EXPORT_PATH, row=_CUSTOMER_ROW, rows_count=EXPORT_ROWS_COUNT),
        Route("GET", "/customers/{customer}"),
    ),
)
RECOMMENDATIONS: Final = Workload(
    "recommendations",
    16,
    policies=(
        Policy(
            "recommendations-read",
            (Rule(callers=("frontend",), method="GET", path_prefix="/for/"),),
        ),
    ),
    routes=(
        Route(
            "GET",
            "/for/{customer}",
            calls=(_get("catalog", "/items/11"), _get("catalog", "/items/17")),
        ),
    ),
)
WORKLOADS: Final = (FRONTEND, CATALOG, CHECKOUT, PAYMENTS, CUSTOMERS, RECOMMENDATIONS)
BROWSER_HOSTS: Final = (101, 102, 103, 104)
"""Last numbers of the addresses that customers' browsers call from."""
