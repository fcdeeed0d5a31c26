r"""The output of ``git log`` to one record a commit. The command stands in docs/sources/git-log.md.

With ``-z`` what git writes is::

    log    = commit *( NUL commit )
    commit = "commit " id LF headers [ LF message ] [ LF changes ]
    changes = status NUL path NUL [ path NUL ] …

Headers hold no empty line, every line of a message is indented, and none of what a committer
writes holds a NUL. So a commit ends where git says, whatever stands in its headers (unknown ones
are printed as they are: one may read ``commit`` and an id), its message or the names of its files.
Without ``-z`` a header could begin a commit that never was; such output is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from meshtrail.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT_LINE: Final = re.compile(rb"commit ([0-9a-f]{40}|[0-9a-f]{64})(?:\t([^\n]*))?\n")
"""The first line of a commit: its id and, of ``--source``, the ref by which it was found."""
STATUS: Final = re.compile(rb"[ACDMTUXB][0-9]{0,3}|([RC])[0-9]{1,3}")
"""What happened to a file; what is copied or renamed has two paths."""

_HOW: Final = "is it of git log -z --format=raw --name-status?"
_UNINDENTED: Final = re.compile(rb"\n(?!    )")


def cut_git_log(body: bytes) -> list[bytes]:
    """One record a commit: all that git wrote of it, without the NUL at its end.

    Args:
        body: the output of one command; an empty one holds no commits.

    Raises:
        InputError: it is something else, or was cut off.

    Cost: linear in the body; each record is copied once.
    """
    records = []
    at = 0
    while at < len(body):
        end = _end_of_commit(body, at)
        records.append(body[at:end].removesuffix(b"\0"))
        # What stands between two commits: a NUL, which also ends the last path of the first.
        at = end + 1
    return records


def split_changes(changes: bytes) -> Iterator[tuple[str, bytes, bytes | None]]:
    """What a commit did to files, as far as it is whole: status, path, and the path before.

    Args:
        changes: from the first status on, paths ended by NULs; the last may be without.
    """
    words = iter(changes.split(b"\0"))
    for status in words:
        match = STATUS.fullmatch(status)
        if match is None:
            return
        before = next(words, None) if match[1] else None
        path = next(words, None)
        if path is not None:
            yield status.decode(), path, before


def find_changes(text: bytes) -> int:
    """Where the status at the end of a commit's text begins; its length where there is none.

    Args:
        text: of a commit up to its first NUL, if it has one.
    """
    # Everything but a status, git ends with a line feed.
    return text.rfind(b"\n") + 1


def _end_of_commit(body: bytes, at: int) -> int:
    """Where a commit ends, the NUL of its last path included."""
    end = _next_nul(body, at)
    _check_text(body[at:end], at)
    if body[end - 1] == ord("\n"):
        return end
    status = body[body.rfind(b"\n", at, end) + 1 : end]
    while True:
        match = STATUS.fullmatch(status)
        if match is None:
            raise InputError(f"no git log at byte {end}: {status[:16]!r} is no status; {_HOW}")
        for _path in range(2 if match[1] else 1):
            begin = end + 1
            end = _next_nul(body, begin)
            if end == len(body) or begin == end:
                raise InputError(f"git log ends within the paths of the commit at byte {at}")
        begin = end + 1
        if begin >= len(body) or body[begin] == 0:
            return begin
        end = _next_nul(body, begin)
        status = body[begin:end]


def _next_nul(body: bytes, at: int) -> int:
    found = body.find(b"\0", at)
    return found if found >= 0 else len(body)


def _check_text(text: bytes, at: int) -> None:
    """Return when this is a commit's headers and message, with a status behind or without."""
    match = COMMIT_LINE.match(text)
    if match is None or not text.startswith(b"tree ", match.end()):
        raise InputError(f"no commit begins at byte {at}; {_HOW}")
    blank = text.find(b"\n\n")
    rest = text[blank + 1 : find_changes(text)] if blank >= 0 else b""
    # Behind the headers every line is empty or of the message, which is indented. The empty one
    # before a message is the first, that before a status the last.
    message = rest[1:-1] if len(rest) > 1 else b""
    if message and (not message.startswith(b"    ") or _UNINDENTED.search(message.rstrip(b"\n"))):
        raise InputError(f"the commit at byte {at} has a message that is not indented; {_HOW}")
    if not text.endswith(b"\n") and not text[: find_changes(text)].endswith(b"\n\n"):
        raise InputError(f"git log ends within the commit at byte {at}; {_HOW}")
