"""Waiting for a fact: looks again and again until it holds, and names what was awaited in vain."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_S: Final = 0.05


def wait_until(
    condition: Callable[[], bool], what: str, *, seconds_max: float, poll_s: float = POLL_S
) -> None:
    """Return once the condition holds.

    Args:
        condition: what is looked at.
        what: a sentence that says what holds then, for the error.
        seconds_max: how long to go on looking.
        poll_s: pause between two looks.

    Raises:
        UnavailableError: it does not hold in time.
    """
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise UnavailableError(f"waited {seconds_max:g} s in vain until {what}")
        time.sleep(poll_s)
