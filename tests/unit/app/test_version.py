from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.version import read_version

if TYPE_CHECKING:
    from pathlib import Path

INSTALLED = "1.2.3 of meshtrail"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in whose ``src`` the package lies, while another version is installed."""
    monkeypatch.setattr("meshtrail.app.version.SOURCE", tmp_path / "src")
    monkeypatch.setattr("meshtrail.app.version.version", lambda name: f"1.2.3 of {name}")
    return tmp_path


def test_the_version_of_a_checkout_is_the_one_in_its_project_file(checkout: Path) -> None:
    declared = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nname = "meshtrail"\nversion = "{read_version()}"\n' in declared


def test_a_checkout_counts_before_what_is_installed_beside_it(root: Path) -> None:
    (root / "pyproject.toml").write_text('[project]\nname = "meshtrail"\nversion = "7.8.9"\n')
    assert read_version() == "7.8.9"


@pytest.mark.parametrize(
    "declared",
    [
        None,
        "",
        '[project]\nname = "meshtrail"\n',
        '[project]\nname = "another"\nversion = "7.8.9"\n',
        "[project\n",
        b"\xff",
    ],
)
def test_a_folder_that_declares_no_version_of_meshtrail_is_no_checkout(
    root: Path, declared: str | bytes | None
) -> None:
    if declared is not None:
        data = declared.encode() if isinstance(declared, str) else declared
        (root / "pyproject.toml").write_bytes(data)
    assert read_version() == INSTALLED


def test_an_installed_package_takes_no_project_file_for_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "pyproject.toml").write_text('[project]\nname = "meshtrail"\nversion = "7.8.9"\n')
    monkeypatch.setattr("meshtrail.app.version.SOURCE", root / "site-packages")
    assert read_version() == INSTALLED


@pytest.mark.usefixtures("root")
def test_the_version_is_unknown_where_nothing_declares_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("meshtrail.app.version.version", missing)
    assert read_version() == "unknown"
