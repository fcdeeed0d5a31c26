from __future__ import annotations

import pytest

from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.inventory_pod import read_inventory_pod

DIGEST = "sha256:" + "ab" * 32
SECOND = 1_795_334_400 * 1_000_000_000


def test_pod_of_the_file_says_who_had_which_addresses_when() -> None:
    row = read_inventory_pod(
        Members(
            {
                "pod": "checkout-7d9c",
                "namespace": "shop",
                "service_account": "checkout",
                "addresses": ["10.1.2.3", "10.9.0.0/24", "FD00::1"],
                "image_digest": DIGEST,
                "from": "2026-11-22T08:00:00Z",
                "to": None,
            }
        )
    )
    assert row.problems == []
    assert row.columns == {
        "kind": "workload",
        "object_kind": "pods",
        "object_namespace": "shop",
        "object_name": "checkout-7d9c",
        "object_created_time": SECOND,
        "object_deleted_time": None,
        "pod_service_account": "checkout",
        "pod_ips": "10.1.2.3,10.9.0.0/24,fd00::1",
        "image_digest": DIGEST,
    }


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("2026-11-22", SECOND - 8 * 3600 * 10**9),
        ("1795334400000000001", SECOND + 1),
        ("2026-11-22T09:00:00+01:00", SECOND),
    ],
)
def test_moments_are_written_as_the_file_allows(text: str, nanos: int) -> None:
    row = read_inventory_pod(Members({"to": text}))
    assert (row.columns["object_deleted_time"], row.problems) == (nanos, [])


def test_what_cannot_be_read_is_noted() -> None:
    row = read_inventory_pod(
        Members(
            {
                "addresses": ["10.1.2.3/8", "x", "10.1.2.4"],
                "image_digest": "v2",
                "from": "9" * 19,
                "to": "soon",
            }
        )
    )
    assert row.columns["pod_ips"] == "10.1.2.4"
    assert sorted(row.problems) == [
        "addresses holds what is neither an address nor a network",
        "from is no moment",
        "image_digest is no digest",
        "to is no moment",
    ]
