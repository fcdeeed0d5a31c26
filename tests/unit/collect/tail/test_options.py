from __future__ import annotations

from pathlib import Path

import pytest

from meshtrail.collect.tail import TailOptions
from meshtrail.errors import ConfigError


def test_a_tail_needs_a_path_and_a_format_alone() -> None:
    tail = TailOptions(path=Path("/var/log/containers/*.log"), format="ztunnel")
    assert (tail.reporter, tail.cluster) == (None, None)


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        ("/a.log", "envoy-jason", "did you mean envoy-json?"),
        ("/a.log", "git-log", "known are envoy-json, "),
        ("a.log", "hubble", "must be absolute"),
        ("/var/../a.log", "hubble", "must be absolute, without .. and **"),
        ("/var/**/a.log", "hubble", "must be absolute, without .. and **"),
    ],
)
def test_a_tail_that_cannot_work_is_refused(path: str, name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TailOptions(path=Path(path), format=name)
    assert said in caught.value.message
