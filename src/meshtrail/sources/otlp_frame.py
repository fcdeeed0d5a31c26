"""The framing of an OTLP export: its resources, how many records each has, and whether that is all.

This is all that collect looks at. An export as Envoys and SDKs send it, of one resource, is
followed here: a step for each record, and no copy. Any other is cut by protobuf.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from meshtrail.errors import InputError
from meshtrail.model.entry import PayloadFormat
from meshtrail.sources.als_frame import RECORD_BYTES_MIN, RECORDS_COUNT_MAX, SMALL_RECORDS_MAX
from meshtrail.sources.otlp_groups import (
    CONTEXT,
    ELEMENTS,
    PARTS,
    SCHEMA_URL,
    slice_group,
    slice_request,
)
from meshtrail.sources.wire_fields import encode_field, span_of, tag_of, walk_elements

RESOURCES_COUNT_MAX: Final = 256
"""Resources that one export is cut into. Each becomes a frame of a stream of its own; a proxy sends
one, a gateway that batches for a node some dozens."""

SCOPES_COUNT_MAX: Final = 16_384
"""Scopes in one export. An empty one takes 2 bytes, and a microsecond of the event loop."""

REPEATED_TIMES_MAX: Final = 16
"""Each payload repeats its resource and its scope. All payloads of an export together are at most
so many times its size: one resource of 60 kB before 60,000 records of a few bytes would become
gigabytes. With the kilobyte that Kubernetes says of a pod, records of 600 bytes become three times
their size."""

SMALL_REPEATED_BYTES_MAX: Final = 1 << 20
SMALL_REPEATED_TIMES_MAX: Final = 32
"""Up to so many bytes of payloads, they may be so many times the export: short records with much
said of their pod. No more, because the sealer takes a journal's batch of 8 MiB at once."""

_CONTEXT_TAG: Final = tag_of(CONTEXT)
_PARTS_TAG: Final = tag_of(PARTS)
_SCHEMA_URL_TAG: Final = tag_of(SCHEMA_URL)
_ELEMENTS_TAG: Final = tag_of(ELEMENTS)


class Signal(Enum):
    """What an export is of.

    Attributes:
        resources_name: the JSON name of its resource elements.
        scopes_name: of the scope elements in them.
        records_name: of the records in those.
        payload_format: of one record in protobuf.
        json_format: of one record in JSON.
    """

    LOGS = (
        "resourceLogs",
        "scopeLogs",
        "logRecords",
        PayloadFormat.OTLP_LOG,
        PayloadFormat.OTLP_LOG_JSON,
    )
    TRACES = (
        "resourceSpans",
        "scopeSpans",
        "spans",
        PayloadFormat.OTLP_SPAN,
        PayloadFormat.OTLP_SPAN_JSON,
    )
    METRICS = (
        "resourceMetrics",
        "scopeMetrics",
        "metrics",
        PayloadFormat.OTLP_METRICS,
        PayloadFormat.OTLP_METRICS_JSON,
    )

    def __init__(
        self,
        resources_name: str,
        scopes_name: str,
        records_name: str,
        payload_format: PayloadFormat,
        json_format: PayloadFormat,
    ) -> None:
        self.resources_name = resources_name
        self.scopes_name = scopes_name
        self.records_name = records_name
        self.payload_format = payload_format
        self.json_format = json_format


class ResourcePart(NamedTuple):
    """What an export holds of one resource.

    Attributes:
        message: a valid export request with exactly this one resource element; the export itself
            where it has only one.
        resource: the bytes of the resource; None where the element has none.
        records_count: records of all its scopes.
        is_plain: whether resource, scopes and records are all there is of the export that concerns
            this element: no unknown fields, no second spelling of a length, nothing said twice or
            of no record. Where it is not, slicing loses something.
    """

    message: bytes
    resource: bytes | None
    records_count: int
    is_plain: bool


def cut_export(body: bytes) -> list[ResourcePart]:
    """Cut an export request of any signal into its resources, in order.

    Raises:
        InputError: protobuf cannot parse it, or it holds more than anyone sends in earnest, or
            something and no resource; then it is kept as a whole, and only so.
    """
    usual = _cut_usual(body)
    return _cut_any(body) if usual is None else [usual]


def check_records(count: int, *, body_bytes: int, repeated_bytes: int) -> None:
    """Return when an export's records may be made into payloads.

    Args:
        count: how many there are.
        body_bytes: of the whole export.
        repeated_bytes: resource and scope of each of the records, together.

    Raises:
        InputError: they may not; its message says why, and ``records_count`` how many they are:
            it is OTLP all the same.
    """
    is_padding = count > SMALL_RECORDS_MAX and body_bytes < RECORD_BYTES_MIN * count
    if is_padding or count > RECORDS_COUNT_MAX:
        raise InputError(
            f"an OTLP export of {body_bytes} bytes with {count} records: at most "
            f"{RECORDS_COUNT_MAX} are sliced, and at most {SMALL_RECORDS_MAX} "
            f"of less than {RECORD_BYTES_MIN} bytes on average",
            records_count=count,
        )
    if not _may_repeat(body_bytes, repeated_bytes):
        raise InputError(
            f"an OTLP export of {body_bytes} bytes with {count} records: resource and scope of "
            f"each would take {repeated_bytes} bytes more; at most {REPEATED_TIMES_MAX} times "
            f"the export is made of it, {SMALL_REPEATED_TIMES_MAX} times up to "
            f"{SMALL_REPEATED_BYTES_MAX} bytes",
            records_count=count,
        )


def _may_repeat(body_bytes: int, repeated_bytes: int) -> bool:
    small_max = min(SMALL_REPEATED_TIMES_MAX * body_bytes, SMALL_REPEATED_BYTES_MAX)
    return body_bytes + repeated_bytes <= max(REPEATED_TIMES_MAX * body_bytes, small_max)


def _cut_usual(body: bytes) -> ResourcePart | None:
    """The part of a plain export of one resource, with 1 to ``SMALL_RECORDS_MAX`` records.

    Its fields stand in the order of their numbers. None where it is no such export, and for a few
    rare ones that are: those are protobuf's.
    """
    try:
        if body[0] != _ELEMENTS_TAG:
            return None
        at, end = span_of(body, 0)
        if end != len(body):
            return None
        resource = None
        if body[at] == _CONTEXT_TAG:
            start, at = span_of(body, at)
            resource = body[start:at]
        count, at, parts_bytes = _walk_scopes(body, at, end)
        if at < end and body[at] == _SCHEMA_URL_TAG:
            at = span_of(body, at)[1]
    except IndexError:
        # A field ends beyond the export, or takes a longer length than is usual.
        return None
    # Not more than what is repeated: as if each record had all of the scopes.
    repeated_bytes = count * (len(body) - parts_bytes)
    is_usual = at == end and 0 < count <= SMALL_RECORDS_MAX and _may_repeat(end, repeated_bytes)
    return ResourcePart(body, resource, count, is_plain=True) if is_usual else None


def _walk_scopes(body: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Step over scope elements.

    Returns:
        How many records they hold, where the last of them ends (at -1 when one is not as usual),
        and the bytes of all records.

    Raises:
        IndexError: a field ends beyond the export, or takes a longer length than is usual.
    """
    count = records_bytes = 0
    while at < end and body[at] == _PARTS_TAG:
        at, scope_end = span_of(body, at)
        if body[at] == _CONTEXT_TAG:
            at = span_of(body, at)[1]
        found, reached = walk_elements(body, at, scope_end, _PARTS_TAG)
        count += found
        records_bytes += reached - at
        if reached < scope_end and body[reached] == _SCHEMA_URL_TAG:
            reached = span_of(body, reached)[1]
        if not found or reached != scope_end:
            return count, -1, records_bytes
        at = reached
    return count, at, records_bytes


def _cut_any(body: bytes) -> list[ResourcePart]:
    elements, is_all = slice_request(body, count_max=RESOURCES_COUNT_MAX)
    if body and not elements:
        raise InputError(f"an OTLP export of {len(body)} bytes without a resource element")
    parts = []
    scopes_left = SCOPES_COUNT_MAX
    records_count = repeated_bytes = 0
    for element in elements:
        group = slice_group(element, count_max=scopes_left, parts_name="scopes")
        scopes_left -= len(group.parts)
        element_count = 0
        is_plain = is_all and group.is_plain
        for part in group.parts:
            records_left = RECORDS_COUNT_MAX - records_count - element_count
            scope = slice_group(part, count_max=records_left, parts_name="records")
            scope_count = len(scope.parts)
            element_count += scope_count
            context_bytes = len(group.encode_context()) + len(scope.encode_context())
            repeated_bytes += scope_count * context_bytes
            # A scope without records stands in no payload; an empty one says nothing either.
            is_plain &= scope.is_plain and (scope_count > 0 or not part)
        # A resource stands in the entry that opens its stream, its schema URL only in payloads.
        is_plain &= element_count > 0 or group.schema_url is None
        records_count += element_count
        message = body if len(elements) == 1 else encode_field(ELEMENTS, element)
        parts.append(ResourcePart(message, group.context, element_count, is_plain))
    check_records(records_count, body_bytes=len(body), repeated_bytes=repeated_bytes)
    return parts
