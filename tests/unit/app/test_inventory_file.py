from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.inventory_file import InventoryFile
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


class Heard:
    """Diagnostics, kept."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.events.append(event)

    def error(self, event: str, **_: object) -> None:
        self.events.append(event)


def write(path: Path, *names: str) -> None:
    pods = [
        {"pod": name, "namespace": "a", "service_account": "b", "addresses": []} for name in names
    ]
    path.write_text(json.dumps({"pods": pods}))


def test_it_is_given_first_and_then_when_the_file_changes(tmp_path: Path) -> None:
    path, heard = tmp_path / "inventory.json", Heard()
    write(path, "one")
    file = InventoryFile(path, heard)
    first = file.read_changed()
    assert first is not None
    assert [pod.name for pod in first.pods] == ["one"]
    assert file.read_changed() is None
    write(path, "one", "two")
    second = file.read_changed()
    assert second is not None
    assert len(second.pods) == 2
    assert heard.events == ["inventory_read"]


def test_a_bad_file_changes_nothing_and_is_told_once(tmp_path: Path) -> None:
    path, heard = tmp_path / "inventory.json", Heard()
    write(path, "one")
    file = InventoryFile(path, heard)
    file.read_changed()
    path.write_text("{")
    assert file.read_changed() is None
    path.unlink()
    assert file.read_changed() is None
    assert file.read_changed() is None
    assert heard.events == ["inventory_refused"]
    write(path, "two")
    changed = file.read_changed()
    assert changed is not None
    assert [pod.name for pod in changed.pods] == ["two"]


def test_a_file_that_is_not_there_or_none_at_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"inventory.json"):
        InventoryFile(tmp_path / "inventory.json", Heard())
    (tmp_path / "inventory.json").write_text("[]")
    with pytest.raises(ConfigError, match="is no inventory"):
        InventoryFile(tmp_path / "inventory.json", Heard())
