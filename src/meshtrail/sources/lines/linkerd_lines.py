"""Lines of Linkerd's proxy as columns of texts: which kind each is of, and what it says by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import map_distinct, mask_null, plain
from meshtrail.sources.json_columns import TEXT
from meshtrail.sources.lines import linkerd_values as values
from meshtrail.sources.lines.json_or_text import JsonOrText

if TYPE_CHECKING:
    from meshtrail.sources.json_columns import Structure

_S: Final = pa.string()
ACCESS: Final = (
    *("client.addr", "client.id", "timestamp", "method", "uri", "version", "status"),
    *("trace_id", "request_bytes", "response_bytes", "total_ns", "user_agent", "host"),
)
"""What a line of the access log says; the first seven in Apache's form, too."""
POLICY: Final = (
    *("server.kind", "server.name", "route.kind", "route.name", "authz.kind", "authz.name"),
    *("client.tls", "client.ip", "tls", "client"),
)
_STRUCTURE: Final[dict[str, Structure]] = {
    **dict.fromkeys((*ACCESS, "level", "target"), TEXT),
    "fields": dict.fromkeys(("message", *POLICY), TEXT),
}
APACHE: Final = (
    r"^(?P<client_addr>[^ ]+) (?P<client_id>[^ ]+) - \[(?P<timestamp>[^ \]]+)\] "
    r'"(?P<method>[^ "]+) (?P<uri>[^ ]+) (?P<version>HTTP/[0-9.]+)"(?: (?P<status>[0-9]{3}))?$'
)
"""A path can hold quotes, which the proxy writes as they are, but no blanks."""
_UPTIME: Final = r"^\[ *[0-9]+\.[0-9]{6}s\] +[A-Z]+ "
_MESSAGE: Final = "|".join(values.MESSAGES)
HEAD: Final = (
    rf"(?s){_UPTIME} *(?:ThreadId\([0-9]+\) )?(?P<spans>inbound(?:\{{[^{{}}]*\}}|:[^ :{{}}]+)*): "
    rf"{values.TARGET}: (?P<message>{_MESSAGE})(?: (?P<fields>.*))?$"
)
"""The spans say where in the proxy the line is from; no other part of it writes such a line."""
PORT: Final = r"^(?:[^{}]|\{[^{}]*\})*?:server\{port=(?P<port>[0-9]{1,5})\}"
_NAMED: Final = "{0}\\.group=[^ ]* {0}\\.kind=(?P<{0}_kind>[^ ]*) {0}\\.name=(?P<{0}_name>[^ ]*)"
FIELDS: Final = (
    rf"^{_NAMED.format('server')}(?: {_NAMED.format('route')})? (?:client\.)?"
    rf"tls=(?P<client_tls>{values.TLS}) client(?:\.ip)?=(?P<client_ip>[^ ]+)"
    rf"(?: {_NAMED.format('authz')})?(?: [a-z_.]+=[^ ]*)*$"
)


class LinkerdLines:
    """Some lines, whatever they are written in.

    Attributes:
        rows_count: lines.
        is_json: bool[n].
        is_access: bool[n], lines of the access log.
        is_policy: bool[n], what the policy said of a request or a connection.
        layer: string[n], http or tcp, of a policy's line.
        message: string[n], of a policy's line.
        port: string[n], where the proxy took the connection, of a policy's line in text.
        runtime_time: int64[n], when the container runtime took each.
        bad: why a line cannot be read, by row.
    """

    def __init__(self, records: pa.Array) -> None:
        parts = JsonOrText(records, _STRUCTURE)
        self._parts = parts
        self._apache = pc.extract_regex(parts.texts, APACHE)
        head = pc.extract_regex(parts.texts, HEAD)
        self._fields = pc.extract_regex(pc.struct_field(head, "fields"), FIELDS)
        self.rows_count = parts.rows_count
        self.runtime_time = parts.runtime_time
        self.is_json = parts.join(
            *(
                pa.array(np.full(count, is_json, dtype=np.bool_))
                for count, is_json in ((parts.json.rows_count, True), (len(parts.texts), False))
            )
        )
        in_json = [parts.json.text(name) for name in ("client.addr", "timestamp", "method")]
        all_told = pc.and_(pc.is_valid(in_json[0]), pc.is_valid(in_json[1]))
        all_told = pc.and_(all_told, pc.is_valid(in_json[2]))
        self.is_access = parts.join(all_told, pc.is_valid(self._apache))
        self._tell_policy(head)
        self.bad = self._find_bad(head)

    def access(self, name: str) -> pa.Array:
        """What a line of the access log says: string[n], null where it does not or nothing."""
        in_text = pa.nulls(len(self._parts.texts), _S)
        field = name.replace(".", "_")
        if self._apache.type.get_field_index(field) >= 0:
            in_text = pc.struct_field(self._apache, field)
        column = self._parts.join(self._parts.json.text(name), in_text)
        return _without_empty(mask_null(column, self.is_access))

    def policy(self, name: str) -> pa.Array:
        """What a line of the policy says, likewise."""
        in_text = pc.struct_field(self._fields, name.replace(".", "_"))
        in_json = _without_empty(self._parts.json.text("fields", name))
        if name.startswith("client."):
            # Of connections the same is told by a shorter name.
            short = {"client.tls": "tls", "client.ip": "client"}[name]
            in_json = pc.coalesce(in_json, _without_empty(self._parts.json.text("fields", short)))
        column = self._parts.join(in_json, in_text)
        return _without_empty(mask_null(column, self.is_policy))

    def _tell_policy(self, head: pa.Array) -> None:
        parts = self._parts
        (layer,) = map_distinct(
            parts.json.text("target"), lambda target: (values.read_layer(target),), [_S]
        )
        message = parts.json.text("fields", "message")
        known = pc.and_(pc.is_in(message, pa.array(values.MESSAGES)), pc.is_valid(layer))
        known = pc.fill_null(known, fill_value=False)
        port = pc.struct_field(pc.extract_regex(pc.struct_field(head, "spans"), PORT), "port")
        is_policy = parts.join(known, pc.is_valid(head))
        self.is_policy = pc.and_not(is_policy, self.is_access)
        self.layer = mask_null(
            parts.join(plain(layer), pc.struct_field(head, "layer")), self.is_policy
        )
        self.message = mask_null(
            parts.join(message, pc.struct_field(head, "message")), self.is_policy
        )
        self.port = parts.join(pa.nulls(parts.json.rows_count, _S), port)

    def _find_bad(self, head: pa.Array) -> dict[int, str]:
        parts = self._parts
        in_json = pc.and_(
            pc.is_valid(parts.json.text("level")), pc.is_valid(parts.json.text("target"))
        )
        in_text = pc.fill_null(pc.match_substring_regex(parts.texts, _UPTIME), fill_value=False)
        is_line = pc.or_(parts.join(in_json, in_text), pc.or_(self.is_access, self.is_policy))
        unread = np.flatnonzero(~np.asarray(is_line))
        lost = pc.and_(pc.is_valid(head), pc.is_null(self._fields))
        nowhere = pa.array(np.zeros(parts.json.rows_count, dtype=np.bool_))
        no_fields = np.flatnonzero(np.asarray(parts.join(nowhere, lost)))
        return (
            dict.fromkeys(unread.tolist(), values.NOT_A_LINE)
            | dict.fromkeys(no_fields.tolist(), values.NO_FIELDS)
            | parts.bad
        )


def _without_empty(column: pa.Array) -> pa.Array:
    """The column with null where it is empty: the proxy writes so what it does not know."""
    return mask_null(column, pc.not_equal(column, ""))
