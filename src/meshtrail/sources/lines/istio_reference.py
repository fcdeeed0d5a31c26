"""The row-wise reference of Istio's access log, in JSON and text: one line at a time, plain.

It follows docs/sources/istio-json.md and shares with the columnar mappers only the meaning of
single values: names of clusters, details strings, and what is told of a line with too many quotes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from meshtrail.errors import InputError
from meshtrail.sources import envoy_values as envoy
from meshtrail.sources.access_reference import AccessRow, SocketFacts
from meshtrail.sources.json_reference import parse_members
from meshtrail.sources.lines.container_prefix_reference import strip_prefix
from meshtrail.sources.lines.istio_access import KEYS, NO_ACCESS_LOG, TRANSPORT_FAILURE
from meshtrail.sources.lines.istio_names import read_cluster, read_server_name
from meshtrail.sources.lines.istio_text import (
    AMBIGUOUS,
    QUOTED,
    REQUEST,
    SEVERAL_WORDS,
    SIZES,
    STATUS,
    TAIL,
    read_doubtful,
)
from meshtrail.sources.streams import UNKNOWN_SENDER
from meshtrail.sources.timestamps import parse_time
from meshtrail.sources.tls_failures import read_failure

if TYPE_CHECKING:
    from meshtrail.sources.streams import StreamFacts

_INT32_MAX: Final = 2**31 - 1
_INT64_MAX: Final = 2**63 - 1
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_SOCKET: Final = re.compile(r"(?:\[([^\[\]]+)\]|([0-9.]+)):([0-9]{1,5})")
_INTERNAL: Final = re.compile(r"envoy://[^/]*/")
_MILLISECOND_NS: Final = 10**6
_QUOTES_COUNT: Final = 14
_ABSENT: Final = (None, "", "-")

Row = dict[str, Any]


def map_istio_json_line(payload: bytes, row: Row, problems: list[str], _facts: StreamFacts) -> None:
    """Fill the row of a line in JSON."""
    istio = IstioRow(row, problems, trust="reported")
    bare = strip_prefix(payload)
    if bare.problem is not None:
        istio.refuse([bare.problem])
        return
    try:
        members = parse_members(envoy.mend_utf8(bare.line).encode())
    except InputError as error:
        istio.refuse([error.message])
        return
    istio.map({key: members.text(key) for key in (*KEYS, TRANSPORT_FAILURE)})


def map_istio_text_line(payload: bytes, row: Row, problems: list[str], _facts: StreamFacts) -> None:
    """Fill the row of a line of text."""
    istio = IstioRow(row, problems, trust="asserted")
    bare = strip_prefix(payload)
    if bare.problem is not None:
        istio.refuse([bare.problem])
        return
    line = envoy.mend_utf8(bare.line)
    fields: dict[str, str] | None = _split(line)
    is_doubtful = fields is None and line.count('"') > _QUOTES_COUNT
    if is_doubtful:
        fields = read_doubtful(line)
    istio.map({key: (fields or {}).get(key) for key in (*KEYS, TRANSPORT_FAILURE)})
    if fields is not None and row["kind"] != "undecoded":
        problems += [AMBIGUOUS] * is_doubtful
        problems += [SEVERAL_WORDS] * (" " in fields["route_name"])


def _split(line: str) -> dict[str, str] | None:
    """The fields of a line with just the quotes that the format has."""
    pieces = line.split('"')
    if len(pieces) != _QUOTES_COUNT + 1 or {*pieces[6:13:2]} != {" "}:
        return None
    start = re.fullmatch(r"\[([^\[\]]+)\] ", pieces[0])
    request = pieces[1].split(" ")
    status, sizes, tail = pieces[2].split(" "), pieces[4].split(" "), pieces[14].split(" ", 6)
    if start is None or len(request) < len(REQUEST):
        return None
    for words, keys in ((status, STATUS), (sizes, SIZES)):
        if len(words) != len(keys) + 2 or words[0] or words[-1]:
            return None
    if len(tail) != len(TAIL) + 1 or tail[0]:
        return None
    told = {key: pieces[place] for place, key in QUOTED.items()} | {"start_time": start[1]}
    told |= zip(REQUEST, (request[0], " ".join(request[1:-1]), request[-1]), strict=True)
    told |= zip((*STATUS, *SIZES, *TAIL), (*status[1:-1], *sizes[1:-1], *tail[1:]), strict=True)
    return told


class IstioRow(AccessRow):
    """Fills the row of one line of Istio's access log."""

    def __init__(self, row: Row, problems: list[str], *, trust: str) -> None:
        # Whoever sent a line is no party to what it tells.
        super().__init__(row, problems, UNKNOWN_SENDER)
        self._trust = trust
        self._said: dict[str, str] = {}

    def map(self, told: dict[str, str | None]) -> None:
        """Fill the row from what stands under each key."""
        self._said = {
            key: text for key, text in told.items() if text is not None and text not in _ABSENT
        }
        said, row = self._said, self.row
        if "start_time" not in said:
            self.refuse([NO_ACCESS_LOG])
            return
        is_request = (
            bool({"method", "path", "protocol"} & said.keys())
            or said.get("response_code", "0") != "0"
        )
        self._times()
        self._envoy()
        self._request()
        self._sizes(is_request=is_request)
        self.tell_identities([], [], upstream=b"")
        self._service()
        self._addresses()
        self.tell_decision(_NoWords())
        if row["decision"] != "unknown":
            row["decision_trust"] = self._trust
        if is_request:
            row["kind"] = "request"
            row["tls_failure"] = read_failure(row["envoy_upstream_transport_failure"])
        else:
            self.tell_handshake()

    def side(self, caller: str | None) -> str | None:
        """By the name of the cluster alone: these lines tell nothing of certificates."""
        del caller
        return read_cluster(self._said.get("upstream_cluster")).side

    def _times(self) -> None:
        row, start = self.row, self._said["start_time"]
        row["time"] = parse_time(start)
        if row["time"] is None:
            self.problems.append("start_time is not a time")
        duration = self._number("duration", _INT64_MAX // _MILLISECOND_NS)
        row["duration"] = None if duration is None else duration * _MILLISECOND_NS
        self.tell_end()

    def _envoy(self) -> None:
        row, said = self.row, self._said
        row["envoy_access_log_type"] = None
        row["envoy_response_flags"] = envoy.flags_of_text(said.get("response_flags"))
        for name in ("response_code_details", "connection_termination_details"):
            row[f"envoy_{name}"] = said.get(name)
        row["envoy_upstream_cluster"] = said.get("upstream_cluster")
        row["envoy_route_name"] = said.get("route_name")
        row["envoy_upstream_transport_failure"] = said.get("upstream_transport_failure_reason")
        row["envoy_downstream_transport_failure"] = said.get(TRANSPORT_FAILURE)
        row["tls_server_name"] = said.get("requested_server_name")
        self.ends_tls = TRANSPORT_FAILURE in said

    def _request(self) -> None:
        row, said = self.row, self._said
        row["http_request_method"] = said.get("method")
        row["server_address"] = said.get("authority")
        row["user_agent_original"] = said.get("user_agent")
        row["http_request_forwarded_for"] = said.get("x_forwarded_for")
        row["network_protocol_version"] = envoy.protocol_of_text(said.get("protocol"))
        row["http_response_status_code"] = self._number("response_code", _INT32_MAX) or None
        self.tell_path(said.get("path"), content_type=None)
        self.tell_correlation({}, said.get("request_id"))

    def _sizes(self, *, is_request: bool) -> None:
        for end, body in (("received", "request"), ("sent", "response")):
            size = self._number(f"bytes_{end}")
            self.row[f"http_{body}_body_size"] = size if is_request else None
            self.row[f"bytes_{end}"] = None if is_request else size

    def _service(self) -> None:
        row, said = self.row, self._said
        service, trust = read_cluster(said.get("upstream_cluster")).service, self._trust
        if service is None and row["side"] == "destination":
            service, trust = read_server_name(said.get("requested_server_name")), "asserted"
        row["dst_service"] = service
        row["dst_workload_trust"] = trust if service is not None else None

    def _addresses(self) -> None:
        host = self._socket("upstream_host")
        local = self._socket("downstream_local_address")
        peer = self._socket("downstream_remote_address")
        is_waypoint = read_cluster(self._said.get("upstream_cluster")).is_waypoint
        self.tell_addresses(
            peer=(None, None) if peer[1] == 0 else peer,
            local=host if is_waypoint and host[0] is not None else local,
            upstream=host,
            upstream_local=self._socket("upstream_local_address"),
        )

    def _socket(self, key: str) -> SocketFacts:
        text = self._said.get(key, "")
        if key == "upstream_host":
            internal = _INTERNAL.match(text)
            text = text[internal.end() :] if internal else text
        match = _SOCKET.fullmatch(text)
        return (match[1] or match[2], int(match[3])) if match else (None, None)

    def _number(self, key: str, maximum: int = _INT64_MAX) -> int | None:
        text = self._said.get(key)
        if text is None:
            return None
        if not _NUMBER.fullmatch(text):
            self.problems.append(f"{key} is not a number")
            return None
        return int(text) if int(text) <= maximum else None


class _NoWords:
    """RBAC filters write nothing into these lines."""

    def last(self, suffix: str, value: str | None = None) -> str | None:
        """Nothing."""
        del suffix, value
        return None
