"""The lock is whole: every level holds the one below, everything has its hashes."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise

import pytest

from tests.tidy.checkout import ROOT, text_of

LEVELS = ("run", "demo", "test", "check")
PIN = re.compile(
    r"^([a-z0-9-]+)==(\S+)((?:.*\\\n)(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins(level: str) -> dict[str, str]:
    lock = text_of(ROOT / "requirements" / f"{level}.txt")
    return {name: version for name, version, _ in PIN.findall(lock)}


@pytest.mark.parametrize("level", LEVELS)
def test_every_line_of_the_lock_is_a_pin_with_hashes(level: str) -> None:
    lock = text_of(ROOT / "requirements" / f"{level}.txt")
    rest = [line for line in PIN.sub("", lock).split("\n") if line.strip()]
    assert not [line for line in rest if not line.lstrip().startswith("#")]
    assert pins(level)


@pytest.mark.parametrize(("small", "large"), [*pairwise(LEVELS)])
def test_every_level_of_the_lock_holds_the_one_below(small: str, large: str) -> None:
    assert pins(small).items() <= pins(large).items()


def test_every_dependency_of_the_project_is_locked() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    names = {re.split(r"[<>=\[]", one)[0] for one in project["project"]["dependencies"]}
    assert names <= pins("run").keys()


def test_the_extra_for_the_demo_is_what_its_level_adds() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    extra = project["project"]["optional-dependencies"]["demo"]
    assert extra == project["dependency-groups"]["demo"]
    names = {re.split(r"[<>=\[]", one)[0] for one in extra}
    assert names == pins("demo").keys() - pins("run").keys()
