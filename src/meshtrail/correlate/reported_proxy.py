"""What is kept of one reporter: its account, its minutes, and the process that counts for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from meshtrail.correlate.minutes import Minutes
from meshtrail.correlate.pushes import PushReader

if TYPE_CHECKING:
    from meshtrail.correlate.proxy_account import ProxyAccount
    from meshtrail.correlate.pushes import Push

SHARED_NS: Final = 600_000_000_000
"""So long after several processes were last seen to count at a time it is one again."""

_REPLACED_MAX: Final = 1_000


@dataclass(slots=True)
class ReportedProxy:
    """One reporter.

    Attributes:
        is_many: whether it stands for reporters that have nothing in common.
        push: that came last.
        interval_ns: between two pushes; 0 where that is not known.
        is_silent: whether it was told that its counts no longer come.
        is_shared: whether several processes count under its name at a time. Which of them did what
            cannot be told apart, so it is not judged.
        is_told_shared: whether that was told.
        late_count: of its records, as was told last.
    """

    account: ProxyAccount
    is_many: bool = False
    push: Push | None = None
    interval_ns: int = 0
    is_silent: bool = False
    is_shared: bool = False
    is_told_shared: bool = False
    late_count: int = 0
    minutes: Minutes = field(default_factory=Minutes)
    _reader: PushReader = field(default_factory=PushReader)
    _shared_ns: int = 0
    _replaced: deque[int] = field(default_factory=lambda: deque(maxlen=_REPLACED_MAX))

    @property
    def is_at_rest(self) -> bool:
        """Whether there is nothing to say of it until something comes."""
        is_awaited = self.interval_ns > 0 and not self.is_silent
        return not (is_awaited or self.account.is_waiting or self.minutes.are_open)

    def take_push(self, detail: str, *, at_ns: int, received_ns: int, stream: int) -> None:
        """Take a push to the account, if it is one to go by."""
        if self.is_many:
            return
        push = self._read(detail, at_ns=at_ns, received_ns=received_ns, stream=stream)
        if push is None:
            return
        self.push, self.is_silent = push, False
        if stream in self._replaced:
            # Another process took its place, and yet it goes on.
            self._replaced.remove(stream)
            self._shared_ns = received_ns
            if not self.is_shared:
                self.is_shared, self.is_told_shared = True, False
                self.account.give_up()
        elif received_ns - self._shared_ns > SHARED_NS:
            self.is_shared = False
        if self.is_shared:
            self.interval_ns = 0
        else:
            self.account.add_push(push)
            self.minutes.count(received_ns, push)

    def _read(self, detail: str, *, at_ns: int, received_ns: int, stream: int) -> Push | None:
        last = self.push
        push = self._reader.read(detail, at_ns=at_ns, received_ns=received_ns, stream=stream)
        if push is not None and last is not None and not push.is_of_process_of(last):
            # Another process counts from 0: what its doors had before is not added.
            self._replaced.append(last.stream)
            self._reader = PushReader()
            push = self._reader.read(detail, at_ns=at_ns, received_ns=received_ns, stream=stream)
        elif push is not None and last is not None:
            # Those that were held up on the way come all at once, with the times they were made at.
            self.interval_ns = max(received_ns - last.received_ns, at_ns - last.at_ns, 1)
        return push
