from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

from meshtrail.app.version import read_version

if TYPE_CHECKING:
    import pytest


def test_the_version_is_the_installed_one_or_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshtrail.app.version.version", lambda name: f"1.2.3 of {name}")
    assert read_version() == "1.2.3 of meshtrail"

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("meshtrail.app.version.version", missing)
    assert read_version() == "unknown"
