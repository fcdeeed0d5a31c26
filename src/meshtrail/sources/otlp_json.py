"""The framing of an OTLP export in JSON: each record with its surroundings, of original slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from meshtrail.errors import InputError
from meshtrail.sources.otlp_frame import RECORDS_COUNT_MAX, Signal

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES: Final = {
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
    Signal.TRACES: ("resourceSpans", "scopeSpans", "spans"),
    Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
}
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


class JsonPart(NamedTuple):
    """One resource of an export.

    Attributes:
        resource: its bytes; None where it is absent.
        payloads: one for each record.
        is_plain: whether nothing was lost by the cut.
    """

    resource: bytes | None
    payloads: list[bytes]
    is_plain: bool


def cut_json_export(body: bytes, signal: Signal) -> list[JsonPart]:
    """The records of an export.

    Raises:
        InputError: it is no export; or, with ``records_count``, it holds too many records.
    """
    outer, scopes, records = _NAMES[signal]
    try:
        parts = [
            _cut(_OBJECT.decode(element), outer, scopes, records)
            for element in _items(_OBJECT.decode(body), outer)
        ]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not an OTLP export: {error}") from error
    total = sum(len(part.payloads) for part in parts)
    if total > RECORDS_COUNT_MAX:
        raise InputError(
            f"an export of {total} records, at most {RECORDS_COUNT_MAX} are cut",
            records_count=total,
        )
    return parts


def _cut(element: dict[str, Any], outer: str, scopes: str, records: str) -> JsonPart:
    resource = bytes(element["resource"]) if "resource" in element else None
    before = b'{"%s":[{' % outer.encode() + _keys(element, ("resource", "schemaUrl"))
    payloads = []
    for raw in _items(element, scopes):
        scope = _OBJECT.decode(raw)
        head = before + b'"%s":[{' % scopes.encode() + _keys(scope, ("scope", "schemaUrl"))
        payloads += [
            head + b'"%s":[%s]}]}]}' % (records.encode(), bytes(record))
            for record in _items(scope, records)
        ]
    is_plain = not element.keys() - {"resource", "schemaUrl", scopes}
    return JsonPart(resource, payloads, is_plain)


def _keys(element: dict[str, Any], names: Iterable[str]) -> bytes:
    return b"".join(
        b'"%s":%s,' % (name.encode(), bytes(element[name])) for name in names if name in element
    )


def _items(element: dict[str, Any], name: str) -> list[msgspec.Raw]:
    return _LIST.decode(element[name]) if name in element else []
