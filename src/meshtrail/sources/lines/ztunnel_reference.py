"""The row-wise reference of ``ztunnel``: one line at a time, slow and plain.

It shares with the columnar mapper only the meaning of single values (``ztunnel_values``,
``ztunnel_errors``, ``envoy_values``) and what a container runtime's prefix is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.sources.envoy_values import mend_utf8, split_spiffe_id
from meshtrail.sources.json_reference import parse_members
from meshtrail.sources.lines import ztunnel_values as values
from meshtrail.sources.lines.container_prefix_reference import strip_prefix
from meshtrail.sources.lines.key_values import FIELDS_COUNT_MAX, unescape
from meshtrail.sources.lines.ztunnel_errors import read_error
from meshtrail.sources.timestamps import parse_time

if TYPE_CHECKING:
    from meshtrail.sources.streams import StreamFacts

_TEXT_LINE: Final = re.compile(
    r"([0-9T:.Z+-]{20,40})\t[a-z]+\t([^\t]*)(?:\t([^\t]*)(?:\t(.*))?)?", re.DOTALL
)
_SOCKET: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+)):([0-9]{1,5})")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_INT64_MAX: Final = 2**63 - 1

Row = dict[str, Any]
Fields = dict[str, str]


def map_ztunnel_line(payload: bytes, row: Row, problems: list[str], _facts: StreamFacts) -> None:
    """Fill the row of a line of ztunnel."""
    try:
        _Line(row, problems).map(*_read_line(payload))
    except InputError as error:
        row["kind"] = "undecoded"
        problems.append(error.message)


def _read_line(payload: bytes) -> tuple[Fields, str | None]:
    """What a line says: head and fields by name, or its fields as they stand.

    Raises:
        InputError: it is no line of ztunnel, or a part of one.
    """
    line, _, problem = strip_prefix(payload)
    if problem is not None:
        raise InputError(problem)
    text = mend_utf8(line)
    if text.startswith("{"):
        members = parse_members(text.encode())
        names = ("time", "scope", "message", *values.FIELDS)
        told = {name: members.text(name) for name in names}
        return {name: text for name, text in told.items() if text}, None
    found = _TEXT_LINE.fullmatch(text)
    if found is None:
        raise InputError(values.NOT_A_LINE)
    head = dict(zip(("time", "scope", "message"), found.groups(), strict=False))
    return {name: text for name, text in head.items() if text}, found[4] or ""


def _read_fields(text: str) -> Fields | None:
    """The fields of a text, character by character; None where it is not made of them."""
    fields: Fields = {}
    place = 0
    for _ in range(FIELDS_COUNT_MAX):
        if place >= len(text):
            break
        start = place
        while place < len(text) and text[place] not in ' ="':
            place += 1
        key = text[start:place]
        if not key or text[place : place + 1] != "=":
            return None
        place += 1
        start = place
        if text[place : place + 1] == '"':
            place += 1
            while place < len(text) and text[place] != '"':
                place += 2 if text[place] == "\\" else 1
            if place >= len(text):
                return None
            value = unescape(text[start + 1 : place])
            place += 1
        else:
            while place < len(text) and text[place] not in ' "':
                place += 1
            value = text[start:place]
        if place < len(text) and (text[place] != " " or place + 1 == len(text)):
            return None
        place += 1
        fields.setdefault(key, value)
    return fields if place >= len(text) else None


class _Line:
    """Fills the row of one line."""

    def __init__(self, row: Row, problems: list[str]) -> None:
        self.row = row
        self.problems = problems
        self.said: Fields = {}

    def map(self, said: Fields, text: str | None) -> None:
        """Fill it.

        Args:
            said: what the line says, by name.
            text: its fields where they are not in there yet.

        Raises:
            InputError: nothing can be told of it.
        """
        row, message = self.row, said.get("message", "")
        if "time" not in said:
            raise InputError(values.NOT_A_LINE)
        is_access = said.get("scope") == values.ACCESS_SCOPE and message in (
            values.COMPLETE,
            values.FAILED,
        )
        is_dry_run = not is_access and message.startswith(values.DRY_RUN)
        fields: Fields | None = said
        if text is not None:
            fields = _read_fields(text) if is_access or is_dry_run else {}
        if fields is None and is_access:
            raise InputError(values.NO_FIELDS)
        self.said = {name: value for name, value in (fields or {}).items() if value}
        written = parse_time(said["time"])
        if written is None:
            self.problems.append("time is not a time")
        if is_access:
            self._access(message, written)
            return
        row["kind"], row["time"] = "log_record", written
        if is_dry_run:
            row["dry_run_decision"] = values.DRY_RUNS.get(message)
            row["dry_run_policy"] = self.said.get("policy")
            if fields is None:
                self.problems.append(values.NO_POLICY)

    def _access(self, message: str, written: int | None) -> None:
        row = self.row
        error = self.said.get("error")
        facts = read_error(error)
        row["side"] = values.SIDES.get(self.said.get("direction", ""))
        failed = message == values.FAILED and facts.tls_failure is not None
        row["kind"] = "handshake" if failed else "connection"
        row["network_transport"] = "tcp"
        self._times(message, written)
        self._addresses()
        sizes = self._sizes()
        self._ends()
        if (
            row["side"] == "source"
            and error
            and not facts.is_past_handshake
            and not sizes.get("bytes_recv")
            and row["dst_spiffe_id"]
        ):
            row["dst_spiffe_id_trust"] = "asserted"
        row["envoy_connection_termination_details"] = error
        row["tls_failure"] = facts.tls_failure
        if facts.tls_failure and row["side"]:
            name = {"destination": "downstream", "source": "upstream"}[row["side"]]
            row[f"envoy_{name}_transport_failure"] = error
        row["decision"] = facts.decision or "unknown"
        row["decision_trust"] = "reported" if facts.decision else None
        row["decision_reason"] = facts.reason
        for name in ("policy_name", "policy_namespace", "policy_kind"):
            row[name] = getattr(facts, name)

    def _times(self, message: str, written: int | None) -> None:
        row = self.row
        duration = values.read_duration(self.said.get("duration"))
        if duration.is_wrong:
            self.problems.append("duration is not a time")
        row["duration"] = duration.ns
        if message == values.COMPLETE:
            row["end_time"] = written
        if written is None:
            return
        if (duration.ns or 0) > written:
            self.problems.append("start of the happening does not fit")
        else:
            row["time"] = written - (duration.ns or 0)

    def _addresses(self) -> None:
        row = self.row
        row["src_ip"], row["src_port"] = self._socket("src.addr", is_noted=True)
        callee = self._socket("dst.addr", is_noted=True)
        inside = self._socket("dst.hbone_addr", is_noted=False)
        if inside[1] is None:
            row["server_address"] = self.said.get("dst.hbone_addr")
        elif callee[1] in (None, values.HBONE_PORT):
            callee = inside
        row["dst_ip"], row["dst_port"] = callee

    def _socket(self, name: str, *, is_noted: bool) -> tuple[str | None, int | None]:
        text = self.said.get(name)
        found = _SOCKET.fullmatch(text or "")
        if found:
            return found[1] or found[2], int(found[3])
        if text and is_noted:
            self.problems.append(f"{name} is not an address")
        return None, None

    def _ends(self) -> None:
        row = self.row
        for end in ("src", "dst"):
            identity = self.said.get(f"{end}.identity")
            parts = split_spiffe_id(identity)
            row[f"{end}_spiffe_id"] = identity
            row[f"{end}_spiffe_id_trust"] = "reported" if identity else None
            row[f"{end}_trust_domain"] = parts.trust_domain
            row[f"{end}_namespace"] = parts.namespace or self.said.get(f"{end}.namespace")
            row[f"{end}_service_account"] = parts.service_account
            row[f"{end}_pod"] = self.said.get(f"{end}.workload")
            row[f"{end}_cluster"] = self.said.get(f"{end}.cluster")
            names = ["workload", "namespace", "cluster"]
            if end == "dst":
                row["dst_service"] = self.said.get("dst.service")
                names.append("service")
            if any(f"{end}.{name}" in self.said for name in names):
                row[f"{end}_workload_trust"] = "reported"

    def _sizes(self) -> dict[str, int | None]:
        row = self.row
        sizes: dict[str, int | None] = {}
        for name in ("bytes_sent", "bytes_recv"):
            text = self.said.get(name)
            sizes[name] = None
            if text and not _NUMBER.fullmatch(text):
                self.problems.append(f"{name} is not a number")
            elif text and int(text) <= _INT64_MAX:
                sizes[name] = int(text)
        sent, received = sizes["bytes_sent"], sizes["bytes_recv"]
        if row["side"] == "source":
            row["bytes_received"], row["bytes_sent"] = sent, received
        elif row["side"] == "destination":
            row["bytes_received"], row["bytes_sent"] = received, sent
        return sizes
