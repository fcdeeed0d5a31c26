from __future__ import annotations

from collections import Counter

from meshtrail.app.import_report import FileAccount


def test_an_account_is_plain_facts_in_a_fixed_order() -> None:
    account = FileAccount(
        name="x.log",
        records_count=3,
        repeated_count=0,
        kinds=Counter({"request": 2, "connection": 1}),
        reasons=Counter({"not JSON": 1}),
        first_index=4,
        last_index=6,
    )
    assert account.as_json() == {
        "file": "x.log",
        "records": 3,
        "repeated": 0,
        "kinds": {"connection": 1, "request": 2},
        "reasons": {"not JSON": 1},
        "first_index": 4,
        "last_index": 6,
    }
