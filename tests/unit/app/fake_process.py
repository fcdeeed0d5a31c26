"""A process for the supervisor's tests: does what its options say, with the real child's side."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from meshtrail import errors
from meshtrail.app.child import Child, run_child


def act(child: Child) -> None:
    """Follow the options: note each start, then fail, refuse, or run until told to stop."""
    notes = Path(child.options["notes"])
    name = child.options["name"]
    with notes.open("a") as file:
        file.write(f"start {name} {os.getpid()}\n")
    starts = notes.read_text().count(f"start {name} ")
    if starts <= child.options.get("deaths", 0):
        os.kill(os.getpid(), signal.SIGKILL)
    refusal = child.options.get("refusal")
    first = child.options.get("refusals_from", 1)
    if refusal and first <= starts <= child.options.get("refusals", starts):
        raise getattr(errors, refusal)("this is why", path=Path("x"))
    overrides = child.options.get("overrides", {})
    child.tell_ready(port=overrides.get("port", 0), keep={"port": 4000 + starts})
    if child.options.get("deaf"):
        while True:
            signal.pause()
    child.stopping.wait()
    with notes.open("a") as file:
        file.write(f"stop {name}\n")


if __name__ == "__main__":
    sys.exit(run_child(sys.argv[1], act))
