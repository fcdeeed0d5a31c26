"""Who speaks on a stream: what its stream-opened entry said, kept while the stream is open."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.model.entry import EntryType, PayloadFormat
from meshtrail.model.event import Kind, Trust
from meshtrail.sources.columns import coded
from meshtrail.sources.conflicts import find_conflict, format_other_identity
from meshtrail.sources.reporter_clocks import LEDGER_WRITER, ReporterClocks, parse_clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from meshtrail.model.entry import EntryHeader
    from meshtrail.sources.reporter_clocks import ClocksOfRows, ReporterKey

_S: Final = pa.string()
_PROVING: Final = frozenset({"mtls", "xfcc"})
_PEER: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]+)):[0-9]+", re.ASCII)
_CLAIM_LENGTH_MAX: Final = 1_024
"""A claim stands in each row of its stream, so a long one would multiply; the entry has it all."""
REPORTER_COLUMNS: Final = (
    "reporter_id",
    "reporter_cluster",
    "reporter_spiffe_id",
    "reporter_auth",
    "reporter_log_name",
    "reporter_ip",
    "reporter_token",
    "reporter_conflict",
)
STREAM_COLUMNS: Final = ("kind", "stream", *REPORTER_COLUMNS, "about")
"""What the events of streams that are opened and closed say of them."""
CLOCK_COLUMNS: Final = ("kind", "stream", "received_time", "detail")
"""What those of statements about clocks say."""


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What is known of a sender: ``spiffe_id`` and ``token`` authenticated it, it claims the names.

    ``conflict`` is what it claims against what it was authenticated as.
    """

    node_id: str | None = None
    node_cluster: str | None = None
    spiffe_id: str | None = None
    auth: str | None = None
    log_name: str | None = None
    ip: str | None = None
    token: str | None = None
    conflict: str | None = None
    writer: str | None = None
    """Which of meshtrail's own processes this is."""

    @property
    def key(self) -> ReporterKey:
        """What tells this reporter from others."""
        return self.node_id, self.spiffe_id, self.token

    @property
    def is_authenticated(self) -> bool:
        """Whether ``spiffe_id`` was authenticated, by us or by the proxy in front of us."""
        return self.spiffe_id is not None and self.auth in _PROVING


UNKNOWN_SENDER: Final = StreamFacts()


def parse_stream_opened(payload: bytes) -> StreamFacts:
    """The facts in a stream-opened payload.

    Raises:
        ValueError: it is not the JSON of docs/formats/entry.md.
    """
    try:
        opened = json.loads(payload)
    except RecursionError as error:
        raise ValueError("stream-opened is nested too deeply") from error
    if not isinstance(opened, dict):
        raise ValueError("stream-opened is not a JSON object")  # noqa: TRY004 - one kind of error
    claimed = _object(opened, "claimed")
    authenticated = _object(opened, "authenticated")
    spiffe_id, token = _text(authenticated, "spiffe_id"), _text(authenticated, "token")
    return StreamFacts(
        node_id=_claim(claimed, "node_id"),
        node_cluster=_claim(claimed, "node_cluster"),
        spiffe_id=spiffe_id,
        auth=_text(opened, "auth"),
        log_name=_claim(claimed, "log_name"),
        ip=_host(_text(opened, "peer")),
        token=token,
        conflict=find_conflict(
            claimed, spiffe_id=spiffe_id, token=token, reporters=_texts(authenticated, "reporters")
        ),
        writer=_text(opened, "writer") if opened.get("transport") == "self" else None,
    )


def read_stream_opened(payload: bytes) -> StreamFacts:
    """The facts in a stream-opened payload; none where it is not what meshtrail writes."""
    try:
        return parse_stream_opened(payload)
    except ValueError:
        return StreamFacts()


class Streams:
    """The open streams at a point of the log, and the clocks of their senders.

    As many streams as the collector allows at once.

    Attributes:
        clocks: of reporters, as they were stated last.
    """

    def __init__(
        self,
        facts: dict[int, StreamFacts] | None = None,
        clocks: ReporterClocks | None = None,
    ) -> None:
        self._facts = dict(facts or {})
        self.clocks = ReporterClocks() if clocks is None else clocks

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[int]:
        return iter(self._facts)

    def copy(self) -> Streams:
        """An independent copy."""
        return Streams(self._facts, self.clocks.copy())

    def follow(self, header: EntryHeader, payload: bytes) -> None:
        """Take the next entry; most say nothing of streams and clocks.

        Args:
            header: of the entry.
            payload: what stands behind it.
        """
        if header.entry_type is EntryType.STREAM_OPENED:
            self.open(header.stream, read_stream_opened(payload))
        elif header.entry_type is EntryType.STREAM_CLOSED:
            self.close(header.stream)
        elif header.entry_type is EntryType.CLOCK:
            is_own = header.payload_format is PayloadFormat.MESHTRAIL_JSON
            if is_own and self.states_clocks(header.stream):
                told = parse_clock(payload, received_ns=header.received_ns)
                if told is not None:
                    self.clocks.tell(*told)

    def states_clocks(self, stream: int) -> bool:
        """Whether a stream is one on which clocks are stated."""
        return self.get(stream).writer == LEDGER_WRITER

    def open(self, stream: int, facts: StreamFacts) -> None:
        """Note a stream that was opened."""
        self._facts[stream] = facts

    def close(self, stream: int) -> None:
        """Forget a stream that was closed."""
        self._facts.pop(stream, None)

    def get(self, stream: int) -> StreamFacts:
        """The facts of a stream; nothing known when it was never opened."""
        return self._facts.get(stream, UNKNOWN_SENDER)


def streams_from_events(events: pa.Table) -> Streams:
    """The streams still open after some events.

    Args:
        events: rows of kind stream_opened and stream_closed, and those of kind clock of the last
            ``STATED_FOR_NS``, in the order of the log, with ``STREAM_COLUMNS`` and
            ``CLOCK_COLUMNS``; other rows do not matter.
    """
    streams = Streams()
    columns = [events.column(name).to_pylist() for name in (*STREAM_COLUMNS, *CLOCK_COLUMNS[2:])]
    for kind, stream, *facts, received_ns, detail in zip(*columns, strict=True):
        if kind == Kind.STREAM_OPENED.value:
            streams.open(stream, StreamFacts(*facts))
        elif kind == Kind.STREAM_CLOSED.value:
            streams.close(stream)
        elif kind == Kind.CLOCK.value and detail and streams.states_clocks(stream):
            told = parse_clock(detail.encode(), received_ns=received_ns)
            if told is not None:
                streams.clocks.tell(*told)
    return streams


class Reporters:
    """The sender of each of some entries, as columns."""

    def __init__(
        self,
        facts: list[StreamFacts],
        rows: npt.NDArray[np.int64],
        clocks: ClocksOfRows | None = None,
    ) -> None:
        """Take the distinct senders, the sender of each row and its clock."""
        self._facts = facts
        self._rows = rows
        self._clocks = clocks
        take = pa.array(rows)
        self.spiffe_id = pa.array([fact.spiffe_id for fact in facts], _S).take(take)
        authenticated = [fact.is_authenticated for fact in facts]
        self._authenticated = pa.array(authenticated, pa.bool_()).take(take)

    def select(self, rows: npt.NDArray[np.int64]) -> Reporters:
        """The senders of some of the rows."""
        clocks = self._clocks.select(rows) if self._clocks is not None else None
        return Reporters(self._facts, self._rows[rows], clocks)

    def time_columns(
        self, time: pa.Array | None, received_ns: npt.NDArray[np.int64]
    ) -> dict[str, pa.Array]:
        """The columns that say how far ``time`` is off, as ``ClocksOfRows.columns``."""
        return self._clocks.columns(time, received_ns) if self._clocks is not None else {}

    def held_to(self, own_identity: pa.Array, *, absent_is_held: bool = False) -> pa.Array:
        """Where the sender was authenticated as the proxy that the record is of.

        Args:
            own_identity: string[n], SPIFFE ID of the certificate that the proxy used in the record.
            absent_is_held: what a record without one counts as, on an authenticated stream.

        Returns:
            bool[n], without nulls.
        """
        same = pc.fill_null(pc.equal(self.spiffe_id, own_identity), fill_value=False)
        if absent_is_held:
            same = pc.or_(same, pc.is_null(own_identity))
        return pc.and_(self._authenticated, same)

    def conflicts_with(self, own_identity: pa.Array, *, where: pa.Array) -> pa.Array | None:
        """The conflicts of records whose proxy is another than their sender was authenticated as.

        Args:
            own_identity: string[n], SPIFFE ID of the certificate that the proxy used in the record.
            where: bool[n], records that say so of themselves.

        Returns:
            ``coded``[n], null where there is none; None where there is none at all.
        """
        other = pc.and_(self._authenticated, pc.not_equal(own_identity, self.spiffe_id))
        other = np.asarray(pc.fill_null(pc.and_(other, where), fill_value=False))
        if not other.any():
            return None
        encoded = pc.dictionary_encode(pc.if_else(pa.array(other), own_identity, None))
        identities = encoded.dictionary.to_pylist()
        codes = np.asarray(encoded.indices.fill_null(0), dtype=np.int64)
        # One text for each pair of sender and identity, however many records there are of it.
        pairs, places = np.unique(
            self._rows[other] * len(identities) + codes[other], return_inverse=True
        )
        texts = []
        for pair in pairs.tolist():
            sender, identity = divmod(pair, len(identities))
            facts = self._facts[sender]
            # The mask holds only where the sender was authenticated, hence has a SPIFFE ID.
            texts.append(
                format_other_identity(identities[identity], facts.spiffe_id or "", facts.conflict)
            )
        chosen = np.zeros(len(other), dtype=np.int64)
        chosen[other] = places
        return coded(texts, pa.array(chosen, mask=~other))

    def columns(self) -> dict[str, pa.Array]:
        """The reporter columns of the event schema, ``coded``."""
        take = pa.array(self._rows)
        facts = self._facts
        trust = [None if fact.spiffe_id is None else Trust.ATTESTED.value for fact in facts]
        return {
            "reporter_id": coded([fact.node_id for fact in facts], take),
            "reporter_cluster": coded([fact.node_cluster for fact in facts], take),
            "reporter_spiffe_id": coded([fact.spiffe_id for fact in facts], take),
            "reporter_spiffe_id_trust": coded(trust, take),
            "reporter_auth": coded([fact.auth for fact in facts], take),
            "reporter_log_name": coded([fact.log_name for fact in facts], take),
            "reporter_ip": coded([fact.ip for fact in facts], take),
            "reporter_token": coded([fact.token for fact in facts], take),
            "reporter_conflict": coded([fact.conflict for fact in facts], take),
        }


def unknown_reporters(rows_count: int) -> Reporters:
    """The senders of records whose own sender is no party to what they tell, such as a shipper."""
    return Reporters([UNKNOWN_SENDER], np.zeros(rows_count, dtype=np.int64))


def _host(peer: str | None) -> str | None:
    """The address in ``address:port``, an IPv6 address in brackets; null for any other text."""
    match = _PEER.fullmatch(peer) if peer is not None else None
    return match and (match[1] or match[2])


def _object(parent: dict[str, Any], name: str) -> dict[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _texts(parent: dict[str, Any], name: str) -> list[str] | None:
    value = parent.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else None


def _claim(parent: dict[str, Any], name: str) -> str | None:
    value = _text(parent, name)
    return value[:_CLAIM_LENGTH_MAX] if value is not None else None


def _text(parent: dict[str, Any], name: str) -> str | None:
    value = parent.get(name)
    if not isinstance(value, str):
        return None
    # JSON can escape half of a surrogate pair, which no column holds: a UnicodeEncodeError, hence a
    # ValueError.
    value.encode()
    return value
