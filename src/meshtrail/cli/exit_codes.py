"""Exit statuses: what a script can tell from how a command ended; see ``meshtrail.errors``."""

from __future__ import annotations

from typing import Final

from meshtrail.errors import (
    ConfigError,
    DurabilityError,
    InputError,
    MeshtrailError,
    TamperError,
    UnavailableError,
)

OK: Final = 0
UNEXPECTED: Final = 1
USAGE: Final = 2
TAMPERED: Final = 3
BAD_INPUT: Final = 65
NOT_BUILT: Final = 69
DURABILITY: Final = 74
UNAVAILABLE: Final = 75
CONFIG: Final = 78
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141

BRANCHES: Final[dict[type[MeshtrailError], int]] = {
    InputError: BAD_INPUT,
    TamperError: TAMPERED,
    DurabilityError: DURABILITY,
    UnavailableError: UNAVAILABLE,
    ConfigError: CONFIG,
}
"""The branches of the error tree; every error that meshtrail raises belongs to one."""

MEANINGS: Final = {
    OK: "done",
    UNEXPECTED: "a mistake in meshtrail; please report what it printed",
    USAGE: "the arguments do not make a command",
    TAMPERED: "tampering: the record is not what was signed; keep everything as it is",
    BAD_INPUT: "the input is malformed, or what was asked for is not there",
    NOT_BUILT: "this part of meshtrail is not built yet",
    DURABILITY: "a write is not known to be on disk, or a file could not be read",
    UNAVAILABLE: "busy, or a limit of time or memory was reached: try again",
    CONFIG: "the options, a key or the data directory do not allow a start",
    INTERRUPTED: "interrupted with Ctrl-C",
    PIPE_CLOSED: "whoever read the output stopped reading",
}


def exit_code(error: MeshtrailError) -> int:
    """The exit status of an error: that of its branch."""
    for branch, code in BRANCHES.items():
        if isinstance(error, branch):
            return code
    return UNEXPECTED
