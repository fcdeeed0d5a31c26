"""Which meshtrail this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def read_version() -> str:
    """The version of the installed package; ``unknown`` when it runs from files alone."""
    try:
        return version("meshtrail")
    except PackageNotFoundError:
        return "unknown"
