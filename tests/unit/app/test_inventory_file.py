from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.inventory_file import InventoryFile

if TYPE_CHECKING:
    from pathlib import Path


class Heard:
    """Diagnostics, kept."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.reasons: list[str] = []

    def info(self, event: str, **_: object) -> None:
        self.events.append(event)

    def error(self, event: str, **facts: object) -> None:
        self.events.append(event)
        self.reasons.append(str(facts["reason"]))


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
    assert heard.events == ["inventory_read"] * 2


def test_a_bad_file_changes_nothing_and_is_told_once_for_each_change(tmp_path: Path) -> None:
    path, heard = tmp_path / "inventory.json", Heard()
    write(path, "one")
    file = InventoryFile(path, heard)
    file.read_changed()
    path.write_text("{")
    assert [file.read_changed() for _ in range(3)] == [None] * 3
    assert heard.events == ["inventory_read", "inventory_refused"]
    path.unlink()
    assert [file.read_changed() for _ in range(3)] == [None] * 3
    assert heard.events[2:] == ["inventory_refused"]
    write(path, "two")
    changed = file.read_changed()
    assert changed is not None
    assert [pod.name for pod in changed.pods] == ["two"]


@pytest.mark.parametrize(
    ("data", "said"), [(None, "No such file"), ("", "truncated"), ("[]", "is no inventory")]
)
def test_a_bad_file_at_the_start_is_told_once_and_looked_at_again(
    tmp_path: Path, data: str | None, said: str
) -> None:
    path, heard = tmp_path / "inventory.json", Heard()
    if data is not None:
        path.write_text(data)
    file = InventoryFile(path, heard)
    assert [file.read_changed() for _ in range(3)] == [None] * 3
    (reason,) = heard.reasons
    assert reason.startswith(f"ledger.inventory: {path}")
    assert said in reason
    write(path, "one")
    assert file.read_changed() is not None


def test_a_file_that_may_be_read_at_last_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, heard = tmp_path / "inventory.json", Heard()
    write(path, "one")
    file = InventoryFile(path, heard)

    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(type(path), "read_bytes", refuse)
        assert file.read_changed() is None
    assert heard.reasons == [f"ledger.inventory: {path}: Permission denied"]
    path.chmod(0o600)
    assert file.read_changed() is not None
