"""A wall clock that is wrong, for one process; needs a C compiler, and the system's C library."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

COMPILER = shutil.which("cc")
SOURCE = Path(__file__).with_suffix(".c")
SECOND = 1_000_000_000


def build_wrong_clock(directory: Path) -> Path:
    """Compile what is to be preloaded."""
    assert COMPILER is not None
    library = directory / "wrong_clock.so"
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(SOURCE)]
    subprocess.run(command, check=True)
    return library


class WrongClock:
    """How far a process is ahead of everybody else; may be changed while it runs.

    Args:
        file: holds it; made.
        library: of ``build_wrong_clock``.
        ahead_ns: negative if it is behind.
    """

    def __init__(self, file: Path, *, library: Path, ahead_ns: int) -> None:
        self._file = file
        self._library = library
        self.ahead_ns = ahead_ns
        self.set(ahead_ns)

    @property
    def environment(self) -> dict[str, str]:
        """What the process needs to be started with."""
        return {"LD_PRELOAD": str(self._library), "WRONG_CLOCK": str(self._file)}

    def set(self, ahead_ns: int) -> None:
        """Set the clock."""
        self.ahead_ns = ahead_ns
        # Written in place: whoever runs has the file mapped.
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(ahead_ns.to_bytes(8, "little", signed=True))
