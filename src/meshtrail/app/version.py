"""Which meshtrail this is."""

from __future__ import annotations

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).resolve().parents[2]
"""The folder that holds the package: ``src`` of a checkout, or where it is installed."""


def read_version() -> str:
    """What ``pyproject.toml`` says: of the checkout, or as it was when the package was installed.

    Returns:
        The version; ``unknown`` when there is neither.
    """
    # A checkout first: beside it another version may be installed, which is not the one that runs.
    of_checkout = _read_checkout(SOURCE.parent) if SOURCE.name == "src" else None
    if of_checkout is not None:
        return of_checkout
    try:
        return version("meshtrail")
    except PackageNotFoundError:
        return "unknown"


def _read_checkout(root: Path) -> str | None:
    """The version that a checkout declares; None when it declares none of meshtrail."""
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"]) if project["name"] == "meshtrail" else None
    except (OSError, ValueError, LookupError):
        return None
