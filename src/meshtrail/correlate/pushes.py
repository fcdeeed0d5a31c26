"""What a proxy counted since its process started, as it pushed it.

What each number is worth: docs/completeness.md, "What Envoy counts".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

_NANOS: Final = 1_000_000_000
_SAME_NS: Final = 2_100_000_000
"""Two ages in whole seconds that are one, and what a count takes to come in."""

Doors = dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One push.

    Attributes:
        at_ns: when, on the proxy's clock.
        received_ns: when it came in, on the collector's.
        stream: that it came on; a stream is of one process.
        requests: that ended, of all doors that log.
        connections: that ended, likewise.
        written: HTTP records that went into the buffers of gRPC access logs.
        dropped: records that the proxy says it lost: they found no room, or their export failed.
        epoch: of hot restarts.
        uptime_s: how long the process has run.
        is_rebased: whether ``requests`` and ``connections`` do not go on from the push before.
    """

    at_ns: int
    received_ns: int
    stream: int
    requests: int = 0
    connections: int = 0
    written: int = 0
    dropped: int = 0
    epoch: int = 0
    uptime_s: int = 0
    is_rebased: bool = False

    @property
    def uptime_ns(self) -> int:
        """How long the process has run, at least: it tells whole seconds."""
        return self.uptime_s * _NANOS

    @property
    def started_ns(self) -> int:
        """When the process started, on the proxy's clock, to a second."""
        return self.at_ns - self.uptime_ns

    def is_of_process_of(self, earlier: Push) -> bool:
        """Whether the process that counted ``earlier`` counted this, too."""
        if self.stream == earlier.stream:
            return True
        if (
            self.epoch != earlier.epoch
            or self.uptime_s < earlier.uptime_s
            or self.written < earlier.written
            or self.dropped < earlier.dropped
        ):
            return False
        # A count that came in late makes the second differ, a clock that was set the first.
        is_same_start = abs(self.started_ns - earlier.started_ns) <= _SAME_NS
        passed_ns = self.received_ns - earlier.received_ns
        grown_ns = self.uptime_ns - earlier.uptime_ns
        return is_same_start or grown_ns >= passed_ns - _SAME_NS

    def goes_on_from(self, earlier: Push) -> bool:
        """Whether this counts what ``earlier`` counted, and what came since."""
        return not self.is_rebased and self.is_of_process_of(earlier)

    def at_start(self) -> Push:
        """What the process had counted when it started."""
        return Push(
            at_ns=self.started_ns,
            received_ns=self.received_ns,
            stream=self.stream,
            epoch=self.epoch,
        )


class PushReader:
    """Reads the pushes of one process, in their order.

    The counters of a door begin again when the door is made anew; the sums given out here do not.
    Where there are too many doors to tell them apart only the sum over all is known. When that
    begins, or ends, or a door of those is gone, nothing goes on from what was counted before.
    """

    def __init__(self) -> None:
        self._is_partial: bool | None = None
        self._requests = _Ended()
        self._connections = _Ended()

    def read(self, detail: str, *, at_ns: int, received_ns: int, stream: int) -> Push | None:
        """Read the ``detail`` of a counter event; None where it is not what can be held to account.

        Those are pushes that count since the one before, and those that do not tell the age of the
        process.
        """
        said: dict[str, Any] = json.loads(detail)
        if said.get("deltas") or "uptime_s" not in said:
            return None
        is_partial = bool(said.get("doors_omitted"))
        http: Doors = {"": said} if is_partial else said.get("by_http", {})
        listeners: Doors = {"": said} if is_partial else said.get("by_listener", {})
        requests = {name: _requests(door) for name, door in http.items()}
        connections = {name: _connections(door) for name, door in listeners.items()}
        is_rebased = self._is_partial not in {None, is_partial} or (
            is_partial
            and (self._requests.is_anew(requests) or self._connections.is_anew(connections))
        )
        if is_rebased:
            self._requests, self._connections = _Ended(), _Ended()
        self._is_partial = is_partial
        return Push(
            at_ns=at_ns,
            received_ns=received_ns,
            stream=stream,
            requests=self._requests.add(requests),
            connections=self._connections.add(connections),
            written=said.get("logs_written", 0),
            dropped=said.get("logs_dropped", 0) + said.get("otlp_logs_dropped", 0),
            epoch=said.get("epoch", 0),
            uptime_s=said["uptime_s"],
            is_rebased=is_rebased,
        )


class _Ended:
    """How many happenings all doors have finished: a sum that never falls."""

    def __init__(self) -> None:
        self._gone = 0
        self._doors: dict[str, tuple[int, int]] = {}

    def add(self, doors: dict[str, tuple[int, int]]) -> int:
        """Take how many each door has begun, and of these finished."""
        for name, (begun, ended) in doors.items():
            last_begun, last_ended = self._doors.get(name, (0, 0))
            if begun < last_begun:
                # The door was made anew under the same name.
                self._gone += last_ended
                last_ended = 0
            # Both numbers are read one after the other, while the door goes on.
            self._doors[name] = (begun, max(ended, last_ended))
        return self._gone + sum(ended for _, ended in self._doors.values())

    def is_anew(self, doors: dict[str, tuple[int, int]]) -> bool:
        """Whether any door has begun less than it had."""
        return any(begun < self._doors.get(name, (0, 0))[0] for name, (begun, _) in doors.items())


def _requests(door: dict[str, int]) -> tuple[int, int]:
    begun = door.get("requests_started", 0)
    return begun, begun - door.get("requests_active", 0)


def _connections(door: dict[str, int]) -> tuple[int, int]:
    others = door.get("no_filter_chain", 0) + door.get("connections_early", 0)
    begun = door.get("connections_started", 0) + others
    return begun, begun - door.get("connections_active", 0)
