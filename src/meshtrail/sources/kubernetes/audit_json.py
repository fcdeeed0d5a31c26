"""Records of the audit log to the members of the event in each, out of what clouds wrap around it.

What a client sent stands inside: it can be made so that a parser refuses it. Each member is read by
itself, so that nobody hides what was done behind how it was spelt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Raw

from meshtrail.errors import InputError
from meshtrail.sources.json_text import NESTING_MAX, count_tokens
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


class _RawEvent(NamedTuple):
    """The members of an object, as they stand in it.

    Attributes:
        members: by name; of equal ones the last, as the API server reads them.
        is_bounded: whether there is so little of all of them that each may be parsed.
        is_mended: whether a text in it held half of a surrogate pair.
    """

    members: dict[str, Raw]
    is_bounded: bool
    is_mended: bool


def read_event(record: bytes) -> AuditEvent:
    """Read a record.

    Raises:
        InputError: it is no audit event. The message is one of few, whatever the record says.
    """
    raw = _read_members(record)
    if "auditID" not in raw.members:
        raw = _unwrap(raw)
    _check_version(raw.members)
    problems = [MENDED] if raw.is_mended else []
    members: Json = {}
    for name in _MEMBERS:
        if name in raw.members:
            try:
                members[name] = _read_value(raw.members[name], is_bounded=raw.is_bounded)
            except InputError as error:
                problems.append(f"{name}: {error.message}")
    return AuditEvent(members, problems)


def _read_members(record: bytes) -> _RawEvent:
    text = mend_surrogates(record)
    tokens = count_tokens(text)
    if tokens.depth > RECORD_NESTING_MAX:
        raise InputError(f"JSON nested more than {RECORD_NESTING_MAX} deep")
    try:
        members = _RAW_MEMBERS.decode(text)
    except msgspec.ValidationError as error:
        raise InputError(NOT_AN_OBJECT) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(NOT_JSON) from error
    is_bounded = tokens.depth <= NESTING_MAX and tokens.commas_count <= RECORD_COMMAS_MAX
    return _RawEvent(members, is_bounded=is_bounded, is_mended=text != record)


def _read_value(raw: Raw | bytes, *, is_bounded: bool = False) -> object:
    """A member's value.

    Raises:
        InputError: it is none, or too much.
    """
    if not is_bounded:
        tokens = count_tokens(bytes(raw))
        if tokens.depth > NESTING_MAX:
            raise InputError("nested too deeply")
        if tokens.commas_count > RECORD_COMMAS_MAX:
            raise InputError("holds too much")
    try:
        return msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8") from error
    except msgspec.DecodeError as error:
        raise InputError("holds a value that is not read") from error


def _unwrap(raw: _RawEvent) -> _RawEvent:
    if "protoPayload" in raw.members:
        raise InputError(CLOUD_AUDIT)
    for outer, *inner in _WRAPPINGS:
        if outer in raw.members:
            text = _inner_text(raw.members[outer], inner)
            if text is not None and text.lstrip().startswith("{"):
                return _unwrapped(text)
    return raw


def _inner_text(raw: Raw, path: list[str]) -> str | None:
    """The text that stands there; Azure's event hubs write ``properties`` as a text as well."""
    try:
        value = _read_value(raw)
        if path and isinstance(value, str):
            value = _read_value(value.encode())
    except InputError as error:
        raise InputError(BAD_WRAPPING) from error
    return text_of(value, *path) if path else value if isinstance(value, str) else None


def _unwrapped(text: str) -> _RawEvent:
    try:
        return _read_members(text.encode())
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
