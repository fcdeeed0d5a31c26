"""Records of the audit log to the members of the event in each, out of what clouds wrap around it.

What a client sent stands inside: it can be made so that a parser refuses it. Each member is read by
itself, so that nobody hides what was done behind how it was spelt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Raw

from meshtrail.errors import InputError
from meshtrail.sources.json_text import check_json, count_tokens
from meshtrail.sources.kubernetes.json_parts import text_of
from meshtrail.sources.surrogates import mend_surrogates

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

RECORD_COMMAS_MAX: Final = 1 << 20
"""In an event: the API server takes requests of 3 MiB, and quotes request and answer."""

RECORD_NESTING_MAX: Final = 500
"""Objects and lists in each other that are skipped over; of 1,000 the parser gives up."""

NOT_JSON: Final = "not JSON"
NOT_AN_OBJECT: Final = "not a JSON object"
NOT_AN_EVENT: Final = "not an event of audit.k8s.io"
NOT_THIS_VERSION: Final = "an audit event of a version that is not read: v1 and v1beta1 are"
CLOUD_AUDIT: Final = "an entry of Google's Cloud Audit Logs, which is not read"
BAD_WRAPPING: Final = "a wrapped audit event that cannot be unwrapped"
MENDED: Final = "half of a surrogate pair in a text"

_API_GROUP: Final = "audit.k8s.io/"
_VERSIONS: Final = ("audit.k8s.io/v1", "audit.k8s.io/v1beta1")
_MEMBERS: Final = (
    *("level", "auditID", "stage", "requestURI", "verb", "user", "impersonatedUser"),
    *("authenticationMetadata", "sourceIPs", "userAgent", "objectRef", "responseStatus"),
    *("requestObject", "responseObject", "requestReceivedTimestamp", "stageTimestamp"),
    *("timestamp", "metadata", "annotations"),
)
_WRAPPINGS: Final = (("properties", "log"), ("log",), ("message",))
"""Where the event stands as a text: Azure's diagnostic log, container logs, CloudWatch."""

_RAW_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])


class AuditEvent(NamedTuple):
    """The members of an audit event that are read.

    Attributes:
        members: by name; what cannot be read is left out.
        problems: why, each once.
    """

    members: Json
    problems: list[str]


def read_event(record: bytes) -> AuditEvent:
    """Read a record.

    Raises:
        InputError: it is no audit event. The message is one of few, whatever the record says.
    """
    text = mend_surrogates(record)
    raw = _read_members(text)
    if "auditID" not in raw:
        raw = _unwrap(raw)
    _check_version(raw)
    problems = [] if text == record else [MENDED]
    members: Json = {}
    for name in _MEMBERS:
        if name in raw:
            try:
                members[name] = _read_value(bytes(raw[name]))
            except InputError as error:
                problems.append(f"{name}: {error.message}")
    return AuditEvent(members, problems)


def _read_members(text: bytes) -> dict[str, Raw]:
    """The members of an object, of equal ones the last, as the API server reads them."""
    if count_tokens(text).depth > RECORD_NESTING_MAX:
        raise InputError(f"JSON nested more than {RECORD_NESTING_MAX} deep")
    try:
        return _RAW_MEMBERS.decode(text)
    except msgspec.ValidationError as error:
        raise InputError(NOT_AN_OBJECT) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(NOT_JSON) from error


def _read_value(text: bytes) -> object:
    """A member's value.

    Raises:
        InputError: it is none, or too much.
    """
    try:
        check_json(text, commas_count_max=RECORD_COMMAS_MAX)
    except InputError as error:
        raise InputError(_plain_reason(error)) from error
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InputError("holds a value that is not read") from error


def _plain_reason(error: InputError) -> str:
    """Why, without the numbers: reasons are counted, so there must be few."""
    return "nested too deeply" if "nested" in error.message else "too much, or not UTF-8"


def _unwrap(raw: dict[str, Raw]) -> dict[str, Raw]:
    if "protoPayload" in raw:
        raise InputError(CLOUD_AUDIT)
    for outer, *inner in _WRAPPINGS:
        if outer in raw:
            text = _inner_text(bytes(raw[outer]), inner)
            if text is not None and text.lstrip().startswith("{"):
                return _unwrapped(text)
    return raw


def _inner_text(text: bytes, path: list[str]) -> str | None:
    """The text that stands there; Azure's event hubs write ``properties`` as a text as well."""
    try:
        value = _read_value(text)
        if path and isinstance(value, str):
            value = _read_value(value.encode())
    except InputError as error:
        raise InputError(BAD_WRAPPING) from error
    return text_of(value, *path) if path else value if isinstance(value, str) else None


def _unwrapped(text: str) -> dict[str, Raw]:
    try:
        return _read_members(mend_surrogates(text.encode()))
    except InputError as error:
        raise InputError(BAD_WRAPPING) from error


def _check_version(raw: dict[str, Raw]) -> None:
    """In a list of events none of them says what it is."""
    kind, version = (_stated(raw, name) for name in ("kind", "apiVersion"))
    if "auditID" not in raw or kind not in {"", "Event"}:
        raise InputError(NOT_AN_EVENT)
    if version and version not in _VERSIONS:
        raise InputError(NOT_THIS_VERSION if version.startswith(_API_GROUP) else NOT_AN_EVENT)


def _stated(raw: dict[str, Raw], name: str) -> str:
    if name not in raw:
        return ""
    try:
        value = msgspec.json.decode(raw[name])
    except msgspec.DecodeError:
        return "?"
    return value if isinstance(value, str) else "" if value is None else "?"
