"""Progress of long work, on standard error: a moving line on a terminal, else one now and then."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

TERMINAL_SECONDS: Final = 0.1
PLAIN_SECONDS: Final = 5.0


class ProgressLine:
    """A callable (done, total, phase); as a context manager it leaves no half line behind."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._is_terminal = self._stream.isatty()
        self._monotonic = monotonic
        self._every = TERMINAL_SECONDS if self._is_terminal else PLAIN_SECONDS
        self._next = monotonic() + self._every
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.clear()

    def __call__(self, done: int, total: int, phase: str) -> None:
        """Note how far a phase is; shown only now and then."""
        now = self._monotonic()
        if now < self._next:
            return
        self._next = now + self._every
        percent = f" ({done * 100 // total} %)" if total else ""
        line = f"{phase}: {done:,} of {total:,}{percent}"
        if self._is_terminal:
            self._stream.write(f"\r{line.ljust(self._width)}")
            self._width = len(line)
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def clear(self) -> None:
        """Take the moving line away."""
        if self._width:
            self._stream.write(f"\r{' ' * self._width}\r")
            self._stream.flush()
            self._width = 0
