from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from meshtrail.correlate import reporters
from meshtrail.correlate.reporters import KEY_COLUMNS, Reporter, Reporters, rows_by_number

if TYPE_CHECKING:
    import pytest


def table(*keys: tuple[str | None, str | None, str | None]) -> pa.Table:
    columns = list(zip(*keys, strict=True)) or [()] * len(KEY_COLUMNS)
    return pa.table(
        {
            name: pa.array(values, pa.string())
            for name, values in zip(KEY_COLUMNS, columns, strict=True)
        }
    )


def test_a_claim_under_another_identity_is_another_reporter() -> None:
    known = Reporters()
    numbers = known.number(
        table(
            ("web", "spiffe://a", None),
            ("web", "spiffe://b", None),
            ("web", None, None),
            ("web", None, "token-1"),
            ("web", "spiffe://a", None),
        )
    )
    assert numbers[0] == numbers[4]
    assert len(set(numbers.tolist())) == 4
    assert known.all[numbers[1]] == Reporter("web", "spiffe://b", None)
    assert known.all[numbers[3]].name == "web"


def test_numbers_stay_from_table_to_table() -> None:
    known = Reporters()
    first = known.number(table(("b", None, None), ("a", None, None)))
    again = known.number(table(("a", None, None), ("c", None, None), ("b", None, None)))
    assert again.tolist() == [first[1], 2, first[0]]


def test_nobody_has_no_number() -> None:
    assert Reporters().number(table((None, None, None))).tolist() == [-1]
    assert Reporters().number(table()).tolist() == []


def test_too_many_reporters_are_one_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporters, "REPORTERS_MAX", 2)
    known = Reporters()
    numbers = known.number(table(*((f"n{at}", None, None) for at in range(5))))
    assert len(known.all) == 3
    assert sorted(np.bincount(numbers).tolist()) == [1, 1, 3]


def test_rows_are_given_by_number_in_their_order() -> None:
    found = {
        number: rows.tolist() for number, rows in rows_by_number(np.array([2, -1, 0, 2, 0, -1, 2]))
    }
    assert found == {0: [2, 4], 2: [0, 3, 6]}
    assert list(rows_by_number(np.empty(0, dtype=np.int64))) == []
    assert list(rows_by_number(np.array([-1, -1]))) == []
