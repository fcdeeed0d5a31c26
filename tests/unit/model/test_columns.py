from __future__ import annotations

from collections import Counter

from meshtrail.model.columns import COLUMNS
from meshtrail.model.event import ENTRY_FIELD_ID


def test_no_field_id_and_no_name_stands_twice() -> None:
    names = [name for column in COLUMNS for name in {column.name, column.short} - {""}]
    ids = [column.field_id for column in COLUMNS]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert [number for number, count in Counter(ids).items() if count > 1] == []
    assert max(ids) < ENTRY_FIELD_ID


def test_columns_stand_in_the_order_of_their_ids() -> None:
    ids = [column.field_id for column in COLUMNS]
    assert ids == sorted(ids)


def test_what_has_its_trust_beside_it_is_text_or_an_id() -> None:
    names = {column.name for column in COLUMNS}
    trusts = {name.removesuffix("_trust") for name in names if name.endswith("_trust")}
    assert trusts <= names
