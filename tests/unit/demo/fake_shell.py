"""A shell that answers from a table, for tests of the tour: nothing runs."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from meshtrail.demo.breach import Breach, Read
from meshtrail.demo.control_plane import ControlPlane
from meshtrail.demo.narration import Narrator
from meshtrail.demo.settling import Settled
from meshtrail.demo.shell import Output
from meshtrail.demo.story import Silence, Story
from meshtrail.demo.tour import Tour
from meshtrail.demo.traffic import Visit

if TYPE_CHECKING:
    from collections.abc import Sequence

Row = dict[str, Any]

IPS = {
    "frontend": "127.0.1.11",
    "catalog": "127.0.1.12",
    "checkout": "127.0.1.13",
    "payments": "127.0.1.14",
    "customers": "127.0.1.15",
    "recommendations": "127.0.1.16",
}
STORY = Story(
    origin="shop/demo/1f2e3d4c",
    ips=IPS,
    stolen_sha256="5ec2e7" + "0" * 58,
    order=Visit(0, "POST", "/orders/1001", "4bf92f3577b34da6a3ce929d0e0e4736"),
    breach=Breach(
        probe_statuses=(403, 403, 403),
        is_handshake_refused=True,
        reads=(Read("/customers/1003", 200, 67), Read("/customers/export", 200, 31_140)),
    ),
    silence=Silence(
        reads=(Read("/customers/export", 200, 31_140),) * 5, calls_count=12, connections_count=6
    ),
    settled=Settled(flushed_count=661, spans_count=300, dropped_count=0),
    control_plane=ControlPlane(began_s=1_763_712_000, ips=IPS),
)


class FakeShell:
    """Commands by what they hold, and what they print; what is not in the table prints nothing."""

    def __init__(self, outputs: dict[str, str], statuses: dict[str, int] | None = None) -> None:
        self.outputs = outputs
        self.statuses = statuses or {}
        self.shown: list[str] = []

    def run(self, command: str) -> Output:
        self.shown.append(command)
        return self._answer(command)

    def ask(self, command: str) -> Output:
        return self._answer(command)

    def _answer(self, command: str) -> Output:
        # The longest entry that the command holds: the most exact one.
        found = max((one for one in self.outputs if one in command), key=len, default=None)
        status = max((one for one in self.statuses if one in command), key=len, default=None)
        text = "" if found is None else self.outputs[found]
        return Output(text, 0 if status is None else self.statuses[status])


def lines(rows: Sequence[Row]) -> str:
    """Rows as a search prints them for a script."""
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def shell_of(answers: dict[str, list[Row]]) -> FakeShell:
    """A shell that prints these rows for these queries."""
    return FakeShell({query: lines(rows) for query, rows in answers.items()})


def make_tour(shell: FakeShell) -> tuple[Tour, io.StringIO]:
    """A tour through what a fake shell answers, and what it says."""
    said = io.StringIO()
    return Tour(Narrator(said, is_styled=False), shell), said
