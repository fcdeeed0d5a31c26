from __future__ import annotations

import pytest

from meshtrail.demo.waiting import wait_until
from meshtrail.errors import UnavailableError


def test_wait_ends_with_the_first_look_that_finds_it_so() -> None:
    looks = iter([False, False, True])
    wait_until(lambda: next(looks), "it is so", seconds_max=10, poll_s=0)
    assert not list(looks)


def test_wait_in_vain_says_what_for() -> None:
    with pytest.raises(UnavailableError, match=r"0 s in vain until pigs fly"):
        wait_until(lambda: False, "pigs fly", seconds_max=0, poll_s=0)
