"""Commits as ``git log`` prints them, without git: ids fit to what stands in them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One commit.

    Attributes:
        author: name and address; the committer is the same.
        at_s: seconds since 1970.
        subject: of its message.
        changes: what it does to files: a letter of ``git log --name-status``, and a path.
        parent: the id of the commit before; None for the first.
    """

    author: str
    at_s: int
    subject: str
    changes: tuple[tuple[str, str], ...]
    parent: str | None = None

    @property
    def headers(self) -> bytes:
        """The lines above the message."""
        # Nobody has the files: what they would hash to is as good as anything.
        tree = hashlib.sha1(repr(self.changes).encode(), usedforsecurity=False).hexdigest()
        parent = "" if self.parent is None else f"parent {self.parent}\n"
        who = f"{self.author} {self.at_s} +0000"
        return f"tree {tree}\n{parent}author {who}\ncommitter {who}\n".encode()

    @property
    def id(self) -> str:
        """The hash of the commit as git stores it."""
        content = self.headers + b"\n" + self.subject.encode() + b"\n"
        stored = b"commit %d\0%s" % (len(content), content)
        return hashlib.sha1(stored, usedforsecurity=False).hexdigest()


def format_git_log(commits: Sequence[Commit]) -> bytes:
    """What ``git log -z --format=raw --name-status`` prints, the newest first."""
    records = []
    for commit in commits:
        head = b"commit %s\n%s\n" % (commit.id.encode(), commit.headers)
        changes = b"".join(f"{how}\0{path}\0".encode() for how, path in commit.changes)
        records.append(head + f"    {commit.subject}\n\n".encode() + changes)
    return b"\0".join(records)
