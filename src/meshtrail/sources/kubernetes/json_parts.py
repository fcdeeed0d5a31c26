"""Parts of JSON objects of unknown make: what has another type than wanted counts as absent."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def part_of(value: object, *path: str) -> Json:
    """The object at the end of a path of keys; an empty one where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def list_of(value: object, *path: str) -> list[object]:
    """The list at the end of a path of keys; an empty one where there is none."""
    *way, last = path
    found = part_of(value, *way).get(last)
    return found if isinstance(found, list) else []


def objects_of(value: object, *path: str) -> list[Json]:
    """The objects in the list at the end of a path of keys."""
    return [item for item in list_of(value, *path) if isinstance(item, dict)]


def texts_of(value: object, *path: str) -> list[str]:
    """The texts in the list at the end of a path of keys."""
    return [item for item in list_of(value, *path) if isinstance(item, str)]


def text_of(value: object, *path: str) -> str | None:
    """The text at the end of a path of keys; None where there is none, or an empty one."""
    *way, last = path
    found = part_of(value, *way).get(last)
    return found if isinstance(found, str) and found else None


def is_stated(value: object, *path: str) -> bool:
    """Whether anything but null stands at the end of a path of keys."""
    *way, last = path
    return part_of(value, *way).get(last) is not None
