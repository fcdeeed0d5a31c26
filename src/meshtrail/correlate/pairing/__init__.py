"""Both ends of each call brought together, in the order of the log and with bounded memory.

Tables of events come in; pairs, attempts, records without a partner and counts go out. Pure: no
files, no clock. The rules stand in docs/pairing.md.
"""

from meshtrail.correlate.pairing.happenings import COLUMNS, TEXT_COLUMNS
from meshtrail.correlate.pairing.options import PairingOptions
from meshtrail.correlate.pairing.outcome import (
    ATTEMPT_SCHEMA,
    COUNT_SCHEMA,
    PAIR_SCHEMA,
    UNPAIRED_SCHEMA,
    Outcome,
    Reason,
)
from meshtrail.correlate.pairing.places import Place
from meshtrail.correlate.pairing.process import Pairing
from meshtrail.correlate.pairing.reasons import Gap

__all__ = [
    "ATTEMPT_SCHEMA",
    "COLUMNS",
    "COUNT_SCHEMA",
    "PAIR_SCHEMA",
    "TEXT_COLUMNS",
    "UNPAIRED_SCHEMA",
    "Gap",
    "Outcome",
    "Pairing",
    "PairingOptions",
    "Place",
    "Reason",
]
