from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli.trust import find_trusted_key
from meshtrail.errors import ConfigError
from meshtrail.note import format_vkey
from meshtrail.verify.pins import read_pins, write_pin
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_the_option_counts_then_the_pin_then_the_claim(tmp_path: Path, home: Path) -> None:
    verifier = make_log(tmp_path / "data").signer.verifier
    asked = Namespace(data=tmp_path / "data", key=None, require_pin=False)
    assert not find_trusted_key(asked, is_remembering=False).is_pinned
    named = Namespace(data=tmp_path / "data", key=format_vkey(verifier), require_pin=True)
    assert find_trusted_key(named, is_remembering=False).is_pinned
    with pytest.raises(ConfigError):
        find_trusted_key(
            Namespace(data=tmp_path / "data", key=None, require_pin=True), is_remembering=False
        )
    write_pin(home / "pins", verifier)
    assert find_trusted_key(asked, is_remembering=False).is_pinned


def test_only_a_command_that_remembers_writes_the_pin(tmp_path: Path, home: Path) -> None:
    make_log(tmp_path / "data")
    asked = Namespace(data=tmp_path / "data", key=None, require_pin=False)
    find_trusted_key(asked, is_remembering=False)
    assert not home.exists()
    find_trusted_key(asked, is_remembering=True)
    assert list(read_pins(home / "pins")) == [ORIGIN]
