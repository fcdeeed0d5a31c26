from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from envoy.data.accesslog.v3 import accesslog_pb2
from google.protobuf import message_factory

from meshtrail.sources.column_decoder import ColumnDecoder
from meshtrail.sources.shim import BYTES, LAX_TEXT, PRESENCE, cut_descriptor

if TYPE_CHECKING:
    from meshtrail.sources.shim import FieldTree

_NUMBERS = itertools.count()


def cut(tree: FieldTree) -> Any:  # noqa: ANN401 - generated classes have no types
    """The class of an HTTP record cut down to a tree."""
    package = f"test.shim{next(_NUMBERS)}"
    published = accesslog_pb2.HTTPAccessLogEntry.DESCRIPTOR
    return message_factory.GetMessageClass(cut_descriptor(published, tree, package=package))


def published_bytes() -> bytes:
    record = accesslog_pb2.HTTPAccessLogEntry(protocol_version=2)
    record.request.path = "/a"
    record.request.request_method = 3
    record.request.request_headers["k"] = "v"
    record.common_properties.upstream_cluster = "c"
    data: bytes = record.SerializeToString()
    return data


def test_what_is_kept_reads_the_same_bytes() -> None:
    tree: FieldTree = {"request": {"path": None, "request_headers": {"key": None, "value": None}}}
    record = cut(tree).FromString(published_bytes())
    assert record.request.path == "/a"
    assert [(item.key, item.value) for item in record.request.request_headers] == [("k", "v")]
    assert [field.name for field in record.DESCRIPTOR.fields] == ["request"]


def test_an_enum_keeps_a_number_that_it_does_not_know() -> None:
    record = cut({"protocol_version": None}).FromString(b"\x10\x63")
    assert record.protocol_version == 99
    negative = cut({"protocol_version": None}).FromString(b"\x10" + b"\xff" * 9 + b"\x01")
    assert negative.protocol_version == -1


def test_a_sub_message_can_be_taken_as_its_bytes() -> None:
    record = cut({"request": BYTES}).FromString(published_bytes())
    request = accesslog_pb2.HTTPRequestProperties.FromString(record.request)
    assert request.path == "/a"


def test_equal_map_keys_stay_two_entries() -> None:
    tree: FieldTree = {"request": {"request_headers": {"key": None, "value": None}}}
    record = cut(tree).FromString(published_bytes() * 2)
    assert len(record.request.request_headers) == 2


def test_a_field_that_is_not_published_is_refused() -> None:
    with pytest.raises(KeyError):
        cut({"request": {"paht": None}})


def test_fields_of_what_is_no_message_are_refused() -> None:
    with pytest.raises(TypeError, match="path is no message"):
        cut({"request": {"path": {"x": None}}})


def test_a_scalar_can_tell_its_absence_from_its_default() -> None:
    tree: FieldTree = {"request": {"path": PRESENCE, "scheme": None}}
    present = cut(tree).FromString(b"\x1a\x02\x2a\x00").request
    absent = cut(tree).FromString(b"\x1a\x00").request
    assert (present.HasField("path"), absent.HasField("path")) == (True, False)
    columns = ColumnDecoder(present.DESCRIPTOR).decode(pa.array([b"\x2a\x00", b""], pa.binary()))
    assert columns.column("path").to_pylist() == ["", None]
    assert columns.column("scheme").to_pylist() == ["", ""]


def test_a_lax_text_is_its_bytes_whatever_they_are_and_null_where_it_is_absent() -> None:
    record = cut({"request": {"path": LAX_TEXT}})
    odd = published_bytes().replace(b"/a", b"/\xff")
    for data, wanted in ((odd, b"/\xff"), (published_bytes(), b"/a"), (b"\x1a\x00", None)):
        request = record.FromString(data).request
        assert (request.path if request.HasField("path") else None) == wanted
        column = ColumnDecoder(record.DESCRIPTOR).decode(pa.array([data], pa.binary()))
        assert column.column("request").to_pylist() == [{"path": wanted}]
