"""The event schema: one typed row for each entry, with the trust of what it says.

``COLUMNS`` is the single source: the Arrow schema, the Parquet field ids, the Bloom filters, the
short names of the query language and docs/formats/event.md all come from it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import pyarrow as pa

from meshtrail.model.columns import COLUMNS, Column

ENTRY_FIELD_ID: Final = 1000
"""Field id of the ``entry`` column that stands beside the event columns in a segment."""

MAPPER_VERSION: Final = 3
"""Version of the derivation entry -> event; a change of any derived value raises it."""


class Kind(StrEnum):
    """What an event is about: a closed list."""

    REQUEST = "request"
    CONNECTION = "connection"
    HANDSHAKE = "handshake"
    FLOW = "flow"
    """Packets of a connection that a node saw, and what it did with them."""
    SPAN = "span"
    LOG_RECORD = "log_record"
    CONFIG_CHANGE = "config_change"
    """A change of what governs the mesh: policies, routes, gateways, RBAC."""
    API_CALL = "api_call"
    """Any other call of a control plane's API."""
    EXEC = "exec"
    ATTACH = "attach"
    PORT_FORWARD = "port_forward"
    EPHEMERAL_CONTAINER = "ephemeral_container"
    TOKEN_REQUEST = "token_request"  # noqa: S105 - a kind of event
    WORKLOAD = "workload"
    """A pod as it was then."""
    INFRASTRUCTURE = "infrastructure"
    """Nodes, scaling, and what a cluster says of itself."""
    DEPLOYMENT = "deployment"
    """A revision that was delivered."""
    COMMIT = "commit"
    STREAM_OPENED = "stream_opened"
    STREAM_CLOSED = "stream_closed"
    CLOCK = "clock"
    COUNTER = "counter"
    GAP = "gap"
    FINDING = "finding"
    UNDECODED = "undecoded"


class Trust(StrEnum):
    """How a value is known; weakest last."""

    ATTESTED = "attested"
    REPORTED = "reported"
    DERIVED = "derived"
    ASSERTED = "asserted"


class Decision(StrEnum):
    """What a policy said. Nothing said is unknown, never allowed."""

    ALLOWED = "allowed"
    DENIED = "denied"
    ERROR = "error"
    UNKNOWN = "unknown"


class TimeQuality(StrEnum):
    """How the offset of a reporter's clock is known."""

    BOUNDED = "bounded"
    """Evidence bounds it on both sides, whatever anything took on its way."""
    ESTIMATED = "estimated"
    """One side rests on what the least delayed of several arrivals took at most."""
    UNKNOWN = "unknown"


class TlsFailure(StrEnum):
    """Why a TLS handshake failed: a closed list."""

    NO_PEER_CERTIFICATE = "no_peer_certificate"
    VERIFICATION_FAILED = "verification_failed"
    EXPIRED = "expired"
    UNKNOWN_CA = "unknown_ca"
    SAN_MISMATCH = "san_mismatch"
    VERSION = "version"
    PLAINTEXT = "plaintext"
    OTHER = "other"


BY_NAME: Final = {column.name: column for column in COLUMNS}
BLOOM_COLUMNS: Final = tuple(column.name for column in COLUMNS if column.bloom)


def _field(column: Column) -> pa.Field:
    return pa.field(
        column.name,
        column.type,
        nullable=column.nullable,
        metadata={b"PARQUET:field_id": str(column.field_id).encode()},
    )


EVENT_SCHEMA: Final = pa.schema([_field(column) for column in COLUMNS])
"""The event columns, in order, with their Parquet field ids."""

SEGMENT_SCHEMA: Final = pa.schema(
    [
        *EVENT_SCHEMA,
        pa.field(
            "entry",
            pa.binary(),
            nullable=False,
            metadata={b"PARQUET:field_id": str(ENTRY_FIELD_ID).encode()},
        ),
    ]
)
"""What a segment holds: the events and, last, the exact entries."""
