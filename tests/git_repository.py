"""A git repository to tell of: real git, with the documented command and odd commits."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (
    *("log", "-z", "--format=raw", "--name-status", "--diff-merges=first-parent", "--source"),
    *("--no-color", "--no-decorate", "--no-show-signature", "--no-mailmap", "--encoding=UTF-8"),
)
"""What docs/sources/git-log.md tells people to run."""
IDENTITY = b"author A <a@b> 1700000000 +0000\ncommitter C <c@d> 1700000060 +0100\n"


@dataclass
class GitRepository:
    """A repository in a folder of a test."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.run("init", "--quiet", "--initial-branch=main")

    def run(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        """What git prints."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Ada Author",
            "GIT_AUTHOR_EMAIL": "ada@shop.example",
            "GIT_AUTHOR_DATE": "1795334400 +0100",
            "GIT_COMMITTER_NAME": "Carl Committer",
            "GIT_COMMITTER_EMAIL": "carl@shop.example",
            "GIT_COMMITTER_DATE": "1795334460 +0100",
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin,
            capture_output=True,
            check=True,
        )
        return done.stdout

    def commit(self, message: str, *options: str, **files: str) -> str:
        """Write files, commit everything, and give the id."""
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self.run("add", "--all")
        self.run(
            *("commit", "--quiet", "--allow-empty", "--allow-empty-message", *options),
            *("--cleanup=verbatim", "-m", message),
        )
        return self.head()

    def head(self) -> str:
        return self.run("rev-parse", "HEAD").decode().strip()

    def write_commit(self, rest: bytes, *, headers: bytes = IDENTITY) -> str:
        """Put a commit on top whose bytes are chosen, with the files of the one before."""
        tree = self.run("rev-parse", "HEAD^{tree}").strip()
        content = b"tree %s\nparent %s\n" % (tree, self.head().encode()) + headers + rest
        written = self.run(
            *("hash-object", "-t", "commit", "-w", "--literally", "--stdin"), stdin=content
        )
        self.run("update-ref", "refs/heads/main", written.decode().strip())
        return written.decode().strip()

    def ids(self) -> list[str]:
        """Of all commits, sorted."""
        return sorted(self.run("rev-list", "--all").decode().split())

    def log(self, *options: str) -> bytes:
        """What the documented command prints."""
        return self.run(*COMMAND, *(options or ("--all",)))
