"""Which files there are: those that a path or pattern names, and those that lie beside them.

Looked up again and again by name: notifications (inotify) are lost when their queue overflows, do
not exist on network and overlay file systems as needed, and cannot be asked what was missed while
nobody listened; so polling would be needed besides. Four looks a second cost 5 µs for each file.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NamedTuple

from meshtrail.journal import FileIdentity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.collect.tail.options import TailOptions

_PACKED: Final = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
_AFTER_NAME: Final = re.compile(r"[._-](?:[0-9]|old$)", re.ASCII)
_AFTER_STEM: Final = re.compile(r"[._-][0-9]{4}", re.ASCII)
"""A date: ``a-1.log`` may be the log of another, ``a-2026-11-22.log`` hardly is."""
_BESIDE_MAX: Final = 10_000
"""Names of one directory that are looked at."""


class FoundFile(NamedTuple):
    """A regular file by one of its names.

    Attributes:
        path: the name under which it was looked for.
        target: where that leads: the same, but for symbolic links.
        size: in bytes.
    """

    path: str
    target: str
    identity: FileIdentity
    size: int


def find_files(tail: TailOptions) -> Iterator[FoundFile | OSError]:
    """The files of a path or pattern that there are now, by name; errors for those that hide.

    One that is no regular file is none: reading a pipe would wait, a directory has no lines.
    """
    pattern = os.fspath(tail.path)
    is_pattern = glob.has_magic(pattern)
    for path in sorted(glob.glob(pattern)) if is_pattern else [pattern]:  # noqa: PTH207 - names that are no UTF-8 stay what they are
        try:
            found = stat_file(path)
        except FileNotFoundError as error:
            # Of a pattern it is gone since, or a link that leads nowhere.
            if not is_pattern:
                yield error
        except OSError as error:
            yield error
        else:
            if found is not None:
                yield found


def stat_file(path: str) -> FoundFile | None:
    """The regular file that a path leads to; None for anything else.

    Raises:
        OSError: it is not there, or may not be looked at.
    """
    found = os.stat(path)  # noqa: PTH116 - as above
    if not stat.S_ISREG(found.st_mode):
        return None
    identity = FileIdentity(found.st_dev, found.st_ino)
    return FoundFile(path, os.path.realpath(path), identity, found.st_size)


def list_directory(directory: str) -> list[FoundFile]:
    """The regular files of a directory under their own names; none when it is gone.

    Raises:
        OSError: it may not be looked at.
    """
    files = []
    try:
        with os.scandir(directory) as names:
            for _, item in zip(range(_BESIDE_MAX), names, strict=False):
                try:
                    found = item.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(found.st_mode):
                    identity = FileIdentity(found.st_dev, found.st_ino)
                    files.append(FoundFile(item.path, item.path, identity, found.st_size))
    except FileNotFoundError:
        return []
    return sorted(files)


def is_named_by(tail: TailOptions, path: str) -> bool:
    """Whether a path is the tail's, or one of its pattern's."""
    return PurePath(path).match(os.fspath(tail.path)) or path == os.fspath(tail.path)


def is_rotated_name(path: str, target: str) -> bool:
    """Whether a file beside a target is called as what rotation made of it.

    That is the target's name with a number or date behind it (``a.log.1``, ``a.log-20261122``,
    ``0.log.20261122-010203``), with a date before its extension (``audit-2026-11-22.log``), or with
    ``.old``. A packed one is a copy, whose lines are not lines any more.
    """
    name, wanted = PurePath(path).name, PurePath(target).name
    if name == wanted or name.endswith(_PACKED):
        return False
    if name.startswith(wanted):
        return _AFTER_NAME.match(name, len(wanted)) is not None
    stem, dot, extension = wanted.rpartition(".")
    if not dot or not name.startswith(stem) or not name.endswith("." + extension):
        return False
    return _AFTER_STEM.match(name, len(stem)) is not None
