"""Notices that the log grew, for everybody who waits for it; looks only while somebody does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from meshtrail.errors import LayoutError, NotFoundError
from meshtrail.units import TreeSize

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshtrail.api.published_log import PublishedHead

LOOK_SECONDS: Final = 0.1

_Version = tuple[int, int] | None


class HeadWatch:
    """The size of the published tree, as it grows. Used from one event loop."""

    def __init__(
        self, published: Path, read_head: Callable[[], PublishedHead], *, stopping: asyncio.Event
    ) -> None:
        """Take where the published checkpoint lies.

        Args:
            published: its file.
            read_head: reads and checks it.
            stopping: ends every wait.
        """
        self._published = published
        self._read_head = read_head
        self._stopping = stopping
        self._version: _Version = None
        self._size = TreeSize(0)
        self._lock = asyncio.Lock()

    async def read_size(self) -> TreeSize:
        """The size of the published tree now; 0 before the first checkpoint.

        Raises:
            TamperError, NoteSyntaxError: the checkpoint is not what the log signed.
        """
        version = _version_of(self._published)
        if version == self._version:
            return self._size
        async with self._lock:
            if version != self._version:
                try:
                    head = await asyncio.to_thread(self._read_head)
                except NotFoundError:
                    return TreeSize(0)
                self._size, self._version = head.checkpoint.tree_size, version
        return self._size

    async def wait_beyond(self, size: int, *, seconds_max: float) -> TreeSize | None:
        """Wait until the published tree is larger.

        Returns:
            Its size; None when it did not grow in time, or this process is to end.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds_max
        while (now := await self.read_size()) <= size:
            left = min(LOOK_SECONDS, until - loop.time())
            if left <= 0 or self._stopping.is_set():
                return None
            try:
                async with asyncio.timeout(left):
                    await self._stopping.wait()
            except TimeoutError:
                continue
        return now


def _version_of(path: Path) -> _Version:
    """What differs when a file was replaced."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LayoutError(f"{path}: {error.strerror}", path=path) from error
    return found.st_mtime_ns, found.st_ino
