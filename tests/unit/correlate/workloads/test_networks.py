from __future__ import annotations

import pytest

from meshtrail.correlate.workloads.networks import Networks


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.1.2.0/24"),
        ("10.1.3.3", "10.0.0.0/8"),
        ("11.0.0.1", None),
        ("fd00::5", "fd00::/64"),
        ("fd01::5", None),
        ("no address", None),
    ],
)
def test_an_address_lies_in_the_smallest_network_that_has_it(
    address: str, network: str | None
) -> None:
    networks = Networks(
        ["10.0.0.0/8", "10.1.2.0/24", "fd00::/64", "10.9.9.9", "10.1.2.3/24", "a/b"]
    )
    assert networks.find(address) == network


def test_addresses_alone_are_no_networks() -> None:
    assert not Networks(["10.0.0.1", "x/y"])
