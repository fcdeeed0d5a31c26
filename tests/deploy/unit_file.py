"""Reads a systemd unit as systemd does, as far as ours go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_unit(path: Path) -> dict[str, list[str]]:
    """The values of each key of all sections, in order; a key may stand several times."""
    values: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith(("#", ";", "[")):
            key, equals, value = line.partition("=")
            assert equals, line
            values.setdefault(key, []).append(value)
    return values
