"""Takes away this process's right to write files, where the OS can: Linux, by Landlock.

A second wall behind the locked-down connection: a DuckDB that is allowed to read a segment could be
talked into writing over it. What is open already, such as standard output, stays writable.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

# The same three numbers on every architecture: they were assigned after the tables were unified.
_CREATE_RULESET: Final = 444
_RESTRICT_SELF: Final = 446
_VERSION_FLAG: Final = 1
_SET_NO_NEW_PRIVS: Final = 38

_WRITE_FILE: Final = 1 << 1
_REMOVE_AND_MAKE: Final = sum(1 << bit for bit in range(4, 13))
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_REFER_ABI: Final = 2
_TRUNCATE_ABI: Final = 3


def deny_writes() -> bool:
    """Forbid this thread, and every thread and process it starts, to write, make or remove files.

    Returns:
        Whether the OS did so; False on other systems, and where Landlock is off. For good: nothing
        gives the right back.
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)
    )
    if abi < 1:
        return False
    denied = _WRITE_FILE | _REMOVE_AND_MAKE
    denied |= _REFER if abi >= _REFER_ABI else 0
    denied |= _TRUNCATE if abi >= _TRUNCATE_ABI else 0
    # A ruleset that handles these rights and has no rule that grants one.
    handled = ctypes.c_uint64(denied)
    ruleset = libc.syscall(
        ctypes.c_long(_CREATE_RULESET),
        ctypes.byref(handled),
        ctypes.c_size_t(ctypes.sizeof(handled)),
        ctypes.c_uint32(0),
    )
    if ruleset < 0:
        return False
    try:
        if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        restricted = libc.syscall(
            ctypes.c_long(_RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint32(0)
        )
        return bool(restricted == 0)
    finally:
        os.close(ruleset)
