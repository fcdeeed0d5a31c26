from __future__ import annotations

import pytest

from meshtrail.errors import QueryError
from meshtrail.model.columns import COLUMNS
from meshtrail.search.fields import FIELDS, FieldKind, find_field, find_fields


def test_every_column_answers_to_its_name_and_to_its_short_name() -> None:
    for column in COLUMNS:
        assert FIELDS[column.name].column is column
        assert FIELDS[column.short or column.name].column is column


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("path", FieldKind.TEXT),
        ("status", FieldKind.NUMBER),
        ("http_request_body_size", FieldKind.NUMBER),
        ("time", FieldKind.TIME),
        ("received", FieldKind.TIME),
        ("duration", FieldKind.DURATION),
        ("trace", FieldKind.HEX_ID),
        ("span", FieldKind.HEX_ID),
        ("request", FieldKind.REQUEST_ID),
        ("duplicate", FieldKind.TRUTH),
        ("dst.spiffe", FieldKind.SPIFFE_ID),
        ("envoy_upstream_local_ip", FieldKind.IP),
    ],
)
def test_a_field_is_read_by_the_kind_of_its_column(name: str, kind: FieldKind) -> None:
    assert find_field(name).kind is kind


def test_closed_lists_are_known() -> None:
    assert "denied" in find_field("decision").choices
    assert "request" in find_field("kind").choices
    assert "asserted" in find_field("src_spiffe_id_trust").choices
    assert find_field("path").choices == ()


def test_an_unknown_field_is_refused_with_the_nearest_and_its_place() -> None:
    with pytest.raises(QueryError, match="did you mean status") as caught:
        find_field("statsu", query="statsu:1", position=0)
    assert caught.value.facts == {"query": "statsu:1", "position": 0, "length": 6}


@pytest.mark.parametrize("name", ["spiffe", "domain", "namespace", "sa", "ip", "port"])
def test_a_name_without_an_end_means_either(name: str) -> None:
    assert [field.column.short for field in find_fields(name)] == [f"src.{name}", f"dst.{name}"]
    assert find_fields(f"src.{name}") == (find_field(f"src.{name}"),)
    with pytest.raises(QueryError):
        find_field(name)
