"""Event rows as what can be paired: which rows tell of a happening, at which end, and who should.

A row plays up to two parts. Its **caller's part** is the connection that its proxy opened to an
upstream, its **callee's part** the one that its proxy accepted; a sidecar's record has one of them
that leads into the mesh, a gateway's has both. A part **expects** a partner where the other end
must have a record of it; else it may have one, and is kept for those that expect it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from operator import eq
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.correlate.pairing.keys import NO_REQUEST_ID, client_keys, read_request_ids
from meshtrail.correlate.pairing.names import (
    NONE,
    Names,
    canonical_ip,
    dictionary_of,
    shorten,
    take_coded,
)
from meshtrail.model.event import BY_NAME, Kind, Trust

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]
    Columns = dict[str, npt.NDArray[Any]]

COLUMNS: Final = (
    "log_index", "kind", "side", "time", "end_time", "received_time", "is_duplicate",
    "reporter_id", "reporter_spiffe_id", "src_spiffe_id", "src_spiffe_id_trust",
    "src_ip", "src_port", "dst_ip", "dst_port",
    "envoy_access_log_type", "envoy_response_flags", "envoy_attempt_count",
    "envoy_upstream_cluster", "envoy_upstream_local_ip", "envoy_upstream_local_port",
    "request_id", "request_id_text",
)  # fmt: skip
"""What tables need to have."""

TEXT_COLUMNS: Final = tuple(
    name for name in COLUMNS if BY_NAME[name].type == pa.string() and name != "request_id_text"
)
"""Those of few distinct values: read as dictionaries, they save a quarter of the cost."""

IS_CALLEE: Final = np.uint8(1)
EXPECTS: Final = np.uint8(2)
IS_CONNECTION: Final = np.uint8(4)
IS_WHOLE: Final = np.uint8(8)
"""Flags of a part: played by the callee's proxy, expects a partner, of a TCP connection, of a
request that was answered to its end at the first attempt and says when it began and ended."""

PART_TYPES: Final[dict[str, type[np.generic]]] = {
    "key": np.uint64,
    "request_id": np.uint64,
    "client_ip": np.int32,
    "client_port": np.int32,
    "server_ip": np.int32,
    "server_port": np.int32,
    "start_ns": np.int64,
    "end_ns": np.int64,
    "tolerance_ns": np.int64,
    "received_ns": np.int64,
    "log_index": np.int64,
    "reporter": np.int32,
    "flags": np.uint8,
}
"""The columns of parts. Addresses and reporters are numbers of ``Names``; an unknown server, as a
gateway's record leaves one out, is ``NONE``."""

_ACCESS_KINDS: Final = frozenset({Kind.REQUEST, Kind.CONNECTION, Kind.HANDSHAKE})
_END_TYPES: Final = frozenset({None, "DownstreamEnd", "TcpConnectionEnd", "UdpSessionEnd"})
"""Every other type tells of a stream that goes on, or of one attempt: a sign of life."""
_BROKEN_FLAGS: Final = frozenset({"UF", "UC", "UR", "UPE"})
"""The upstream's connection broke: nobody knows whether the callee's proxy saw the request."""
_TO_APPLICATION: Final = "inbound|"
"""Upstream clusters of a sidecar that lead to its own application, which has no proxy."""
_WITHOUT_TIME_NS: Final = 60_000_000_000
"""How long before its arrival a record without a usable time may have begun."""
_FAR_NS: Final = 1 << 61
"""No time is farther from 1970; sums of two of them fit into 64 bits."""


@dataclass(slots=True)
class Registers:
    """The numbers of addresses and reporters that are known at the moment."""

    addresses: Names
    reporters: Names

    @classmethod
    def empty(cls) -> Registers:
        """No addresses and no reporters yet."""
        return cls(Names(canonical_ip), Names(lambda known: repr(known).encode()))


@dataclass(slots=True)
class Happenings:
    """What some rows tell, in columns.

    Attributes:
        rows: each record of a proxy: ``received_ns``, ``reporter``, ``own_ip`` (an address of the
            proxy itself), ``shown_ip`` (of a caller that showed an identity), ``is_local`` (it was
            answered without an upstream).
        parts: ``PART_TYPES``, by log index.
        life: signs of life of streams that go on, as parts.
        retried: requests with several attempts: parts, and ``attempts_left``.
    """

    rows: Columns
    parts: Columns
    life: Columns
    retried: Columns


def read_happenings(
    table: pa.Table, registers: Registers, *, tolerance_ns: npt.NDArray[np.int64]
) -> Happenings:
    """What the rows of a table tell.

    Args:
        table: events with ``COLUMNS``, texts plain or dictionary-encoded.
        registers: addresses and reporters; new ones are entered.
        tolerance_ns: int64[n], how far the clock of each one's reporter may be from another's.
    """
    batch = _Batch(table, registers, tolerance_ns)
    roles = (batch.callers(), batch.callees())
    return Happenings(
        batch.rows(),
        batch.parts(roles, are_ends=True),
        batch.parts(roles, are_ends=False),
        batch.retried(),
    )


def taken(columns: Columns, which: npt.NDArray[Any]) -> Columns:
    """Some rows of columns, by a mask or by positions."""
    return {name: column[which] for name, column in columns.items()}


_Endpoint = tuple["npt.NDArray[np.int32]", "npt.NDArray[np.int32]"]
"""Addresses and ports: int32[n] each, ``NONE`` where there is none."""


class _Role(NamedTuple):
    """One of the parts that rows may play.

    Attributes:
        playing: bool[n], which rows play it.
        client, server: its addresses.
        expects: bool[n], which expect a partner.
        mark: the flag of the role.
    """

    playing: Mask
    client: _Endpoint
    server: _Endpoint
    expects: Mask
    mark: np.uint8


class _Batch:
    """The columns of one table as arrays, each text looked at once."""

    def __init__(
        self, table: pa.Table, registers: Registers, tolerance_ns: npt.NDArray[np.int64]
    ) -> None:
        self._columns = {name: _whole(table.column(name)) for name in COLUMNS}
        self._encoded: dict[str, pa.DictionaryArray] = {}
        self._registers = registers
        self._rows_count = table.num_rows
        self._tolerance_ns = np.clip(tolerance_ns, 0, _FAR_NS)
        is_new = ~self._columns["is_duplicate"].to_numpy(zero_copy_only=False)
        kinds = {
            kind: self._test("kind", partial(eq, kind.value)) & is_new for kind in _ACCESS_KINDS
        }
        self._is_access = kinds[Kind.REQUEST] | kinds[Kind.CONNECTION] | kinds[Kind.HANDSHAKE]
        self._is_connection = kinds[Kind.CONNECTION]
        self._can_pair = kinds[Kind.REQUEST] | kinds[Kind.CONNECTION]
        self._is_end = self._test("envoy_access_log_type", lambda text: text in _END_TYPES)
        # A listener logs each TCP connection besides the proxy that takes it, and those that
        # carry HTTP too. Only the proxy's own record, which has a type, says that there must be
        # another.
        typed = ~self._test("envoy_access_log_type", lambda text: text is None)
        self._is_told = self._is_end & (kinds[Kind.REQUEST] | (kinds[Kind.CONNECTION] & typed))
        self._is_source = self._test("side", lambda side: side == "source")
        self._is_destination = self._test("side", lambda side: side == "destination")
        self._src = self._endpoint("src_ip", "src_port")
        self._dst = self._endpoint("dst_ip", "dst_port")
        self._upstream = self._endpoint("envoy_upstream_local_ip", "envoy_upstream_local_port")
        self._reporter = self._reporters()
        self._request_ids = read_request_ids(
            self._columns["request_id"], self._columns["request_id_text"]
        )
        self._received_ns = self._numbers("received_time", 0)[0]
        self._start_ns, self._end_ns, is_timed = self._times()
        is_unharmed = self._test("envoy_response_flags", lambda flags: flags is None)
        self._is_whole = kinds[Kind.REQUEST] & is_timed & is_unharmed & (self._attempts() <= 1)
        trust = self._test("src_spiffe_id_trust", lambda text: text in _HELD_TRUSTS)
        self._has_caller = trust & np.asarray(pc.is_valid(self._columns["src_spiffe_id"]))

    def rows(self) -> Columns:
        """See ``Happenings.rows``."""
        own = np.where(self._is_source, self._upstream[0], self._dst[0])
        shown = np.where(self._has_caller, self._src[0], NONE).astype(np.int32)
        is_local = self._is_source & self._is_told & (self._upstream[0] == NONE)
        columns = {
            "received_ns": self._received_ns,
            "reporter": self._reporter,
            "own_ip": own,
            "shown_ip": shown,
            "is_local": is_local,
        }
        return taken(columns, self._is_access)

    def callers(self) -> _Role:
        """The connections to upstreams that may lead into the mesh."""
        to_application = self._test(
            "envoy_upstream_cluster", lambda name: name is None or name.startswith(_TO_APPLICATION)
        )
        is_gateway = ~self._is_source & ~(self._is_destination & to_application)
        playing = self._can_pair & (self._upstream[0] != NONE) & (self._is_source | is_gateway)
        # The upstream's own address is in the record only where the record is the source's.
        server = _only(self._dst, self._is_source)
        is_broken = self._test("envoy_response_flags", _is_broken)
        expects = self._is_told & ~is_broken & (server[0] != NONE)
        return _Role(playing, self._upstream, server, expects, np.uint8(0))

    def callees(self) -> _Role:
        """The connections that a proxy accepted."""
        # A source's record of a caller's certificate is a gateway's, which was called itself.
        is_gateway = self._is_source & self._has_caller
        has_client = (self._src[0] != NONE) & ~_same(self._src, self._upstream)
        playing = self._can_pair & has_client & (~self._is_source | is_gateway)
        expects = self._is_told & self._has_caller & (self._is_destination | is_gateway)
        return _Role(playing, self._src, _only(self._dst, ~self._is_source), expects, IS_CALLEE)

    def retried(self) -> Columns:
        """See ``Happenings.retried``."""
        attempts = self._attempts()
        playing = self._can_pair & self._is_source & (attempts > 1)
        playing &= self._request_ids != NO_REQUEST_ID
        nothing = np.zeros_like(playing)
        role = _Role(playing, self._upstream, self._dst, nothing, np.uint8(0))
        columns = self.parts((role,), are_ends=True)
        columns["attempts_left"] = attempts[playing & self._is_end] - 1
        return columns

    def parts(self, roles: tuple[_Role, ...], *, are_ends: bool) -> Columns:
        """The parts that rows play, in the order of the rows.

        Args:
            roles: the parts.
            are_ends: of records of an end, or of those of what goes on.
        """
        chosen = self._is_end == are_ends
        each = [np.flatnonzero(role.playing & chosen) for role in roles]
        rows = np.concatenate(each)
        order = np.argsort(rows, kind="stable")
        rows = rows[order]

        def of_roles(columns: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
            gathered = [column[some] for column, some in zip(columns, each, strict=True)]
            return np.concatenate(gathered)[order]

        client_ip = of_roles([role.client[0] for role in roles])
        client_port = of_roles([role.client[1] for role in roles])
        is_connection = self._is_connection[rows]
        flags = of_roles([role.expects * EXPECTS | role.mark for role in roles])
        # An address that is not there has a place as well, the last: a retried request whose last
        # attempt got no connection.
        hashes = np.append(self._registers.addresses.hashes, np.uint64(0))
        return {
            "key": client_keys(hashes[client_ip], client_port, is_connection=is_connection),
            "request_id": self._request_ids[rows],
            "client_ip": client_ip,
            "client_port": client_port,
            "server_ip": of_roles([role.server[0] for role in roles]),
            "server_port": of_roles([role.server[1] for role in roles]),
            "start_ns": self._start_ns[rows],
            "end_ns": self._end_ns[rows],
            "tolerance_ns": self._tolerance_ns[rows],
            "received_ns": self._received_ns[rows],
            "log_index": self._numbers("log_index", 0)[0][rows],
            "reporter": self._reporter[rows],
            "flags": flags | is_connection * IS_CONNECTION | self._is_whole[rows] * IS_WHOLE,
        }

    def _attempts(self) -> npt.NDArray[np.int64]:
        return self._numbers("envoy_attempt_count", 0)[0]

    def _times(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Mask]:
        """Start and end of each happening, generous where it does not tell; whether it does."""
        start, has_start = self._numbers("time", 0)
        end, has_end = self._numbers("end_time", 0)
        start = np.where(has_start, start, self._received_ns - _WITHOUT_TIME_NS)
        end = np.where(has_start & has_end, end, self._received_ns)
        start = np.clip(start, -_FAR_NS, _FAR_NS)
        end = np.maximum(start, np.clip(end, -_FAR_NS, _FAR_NS))
        return start, end, has_start & has_end

    def _reporters(self) -> npt.NDArray[np.int32]:
        """The number of each row's reporter: an identity and a claimed node id together."""
        spiffe, node = self._coded("reporter_spiffe_id"), self._coded("reporter_id")
        ids, nodes = _texts(spiffe), _texts(node)
        id_of = take_coded(spiffe, np.arange(len(ids)))
        node_of = take_coded(node, np.arange(len(nodes)))
        # Nearly every node speaks under one identity: then the node alone tells which.
        usual = np.full(len(nodes), -1)
        usual[node_of] = id_of
        register = self._registers.reporters
        codes = [
            NONE if at < 0 else register.code((ids[at], name))
            for at, name in zip(usual.tolist(), nodes, strict=True)
        ]
        reporters: npt.NDArray[np.int32] = np.array(codes, dtype=np.int32)[node_of]
        for row in np.flatnonzero(usual[node_of] != id_of).tolist():
            reporters[row] = register.code((ids[id_of[row]], nodes[node_of[row]]))
        return reporters

    def _endpoint(self, ip: str, port: str) -> _Endpoint:
        codes = self._registers.addresses.encode(self._columns[ip])
        ports, has_port = self._numbers(port, NONE)
        codes[~has_port] = NONE
        return codes, ports.astype(np.int32)

    def _numbers(self, name: str, absent: int) -> tuple[npt.NDArray[Any], Mask]:
        """A number column with ``absent`` for null, and where it is not null."""
        column = self._columns[name]
        if not column.null_count:
            return np.asarray(column), np.ones(self._rows_count, dtype=np.bool_)
        filled = pc.fill_null(column, pa.scalar(absent, column.type))
        return np.asarray(filled), np.asarray(pc.is_valid(column))

    def _test(self, name: str, holds: Callable[[Any], bool]) -> Mask:
        """Where a column's value, None for null, passes a test: bool[n]."""
        if self._columns[name].null_count == self._rows_count:
            return np.full(self._rows_count, holds(None))
        encoded = self._coded(name)
        values = [*encoded.dictionary.to_pylist(), None]
        return take_coded(encoded, np.array([holds(value) for value in values], dtype=np.bool_))

    def _coded(self, name: str) -> pa.DictionaryArray:
        """A column with each distinct value once."""
        if name not in self._encoded:
            self._encoded[name] = dictionary_of(self._columns[name])
        return self._encoded[name]


_HELD_TRUSTS: Final = frozenset({Trust.ATTESTED, Trust.REPORTED})
"""Of a caller's identity that its certificate showed and the callee's proxy accepted."""


def _whole(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole


def _texts(encoded: pa.DictionaryArray) -> list[str | None]:
    """The distinct values, and None for null."""
    return [text and shorten(text) for text in [*encoded.dictionary.to_pylist(), None]]


def _only(endpoint: _Endpoint, where: Mask) -> _Endpoint:
    """The endpoint where it is meant, and an unknown one elsewhere."""
    none = np.int32(NONE)
    return np.where(where, endpoint[0], none), np.where(where, endpoint[1], none)


def _same(one: _Endpoint, other: _Endpoint) -> Mask:
    same: Mask = (one[0] == other[0]) & (one[1] == other[1])
    return same


def _is_broken(flags: str | None) -> bool:
    return flags is not None and not _BROKEN_FLAGS.isdisjoint(flags.split(","))
