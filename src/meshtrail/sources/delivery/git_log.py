"""A commit out of ``git log``: who wrote it, who committed it, what it changed.

All of it is what the committer wrote; only that the id fits to it can be checked, and is. Fields
and their trust stand in docs/sources/git-log.md.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, NamedTuple

from meshtrail.errors import InputError
from meshtrail.model.event import Kind, Trust
from meshtrail.sources.delivery.git_cut import COMMIT_LINE, find_changes, split_changes
from meshtrail.sources.delivery.repositories import read_ref
from meshtrail.sources.json_members import compact_json
from meshtrail.sources.record_rows import RecordRow
from meshtrail.units import INT64_MAX

PATHS_COUNT_MAX: Final = 200
"""Paths that ``detail`` names; how many there are it says in any case."""
TEXT_BYTES_MAX: Final = 1024
"""Of a path, a name, or a subject."""
PARENTS_COUNT_MAX: Final = 64

_NANOS: Final = 1_000_000_000
_IDENTITY: Final = re.compile(rb"([^\n]*) ([0-9]{1,12}) [+-][0-9]{4}")
_SIGNATURES: Final = {
    b"-----BEGIN PGP SIGNATURE-----": "pgp",
    b"-----BEGIN PGP MESSAGE-----": "pgp",
    b"-----BEGIN SSH SIGNATURE-----": "ssh",
    b"-----BEGIN SIGNED MESSAGE-----": "x509",
}
_INDENT: Final = b"    "
_NOT_A_COMMIT: Final = "no commit of git log -z --format=raw --name-status"
_NOT_UTF8: Final = "text that is not UTF-8"


class _Parts(NamedTuple):
    """A record taken apart.

    Attributes:
        headers: names and values in their order; of a value of several lines the first.
        header_lines: as they stand in the commit itself.
        message: without the indentation.
        changes: what it did to files.
    """

    commit_id: str
    ref: bytes | None
    headers: list[tuple[bytes, bytes]]
    header_lines: bytes
    message: bytes
    changes: bytes


def read_git_log(record: bytes) -> RecordRow:
    """One commit as an event.

    Args:
        record: of ``git_cut.cut_git_log``.

    Raises:
        InputError: it is none.
    """
    parts = _take_apart(record)
    texts = _Texts()
    first = dict(reversed(parts.headers))
    author, author_ns = texts.identity(first.get(b"author"), "author")
    committer, committer_ns = texts.identity(first.get(b"committer"), "committer")
    paths = list(split_changes(parts.changes))
    parents = [
        value.decode("ascii", "replace") for name, value in parts.headers if name == b"parent"
    ]
    detail = {
        "author_time_ns": author_ns,
        "committer": committer,
        "parents": parents[:PARENTS_COUNT_MAX],
        "subject": texts.text(_subject(parts.message)),
        "is_signed": any(name in (b"gpgsig", b"gpgsig-sha256") for name, _ in parts.headers),
        "signature": _signature(first),
        "id_fits": _id_fits(parts),
        "paths_count": len(paths),
        "paths": [texts.change(*one) for one in paths[:PATHS_COUNT_MAX]],
    }
    columns = {
        "kind": Kind.COMMIT.value,
        "time": committer_ns,
        "actor": author,
        "actor_trust": Trust.ASSERTED.value if author is not None else None,
        "commit_id": parts.commit_id,
        "commit_ref": read_ref(texts.text(parts.ref)),
        "detail": compact_json({key: value for key, value in detail.items() if value is not None}),
    }
    return RecordRow(columns, texts.problems)


def _take_apart(record: bytes) -> _Parts:
    text = record.partition(b"\0")[0]
    match = COMMIT_LINE.match(text)
    if match is None:
        raise InputError(_NOT_A_COMMIT)
    changes_at = find_changes(text)
    head, _, body = text[match.end() : changes_at].partition(b"\n\n")
    header_lines = head.removesuffix(b"\n")
    # Lines that begin with a space go on with the header before them: the inside of a signature.
    lines = (line.partition(b" ") for line in header_lines.split(b"\n"))
    headers = [(name, value) for name, _, value in lines if name]
    told = body.removesuffix(b"\n").split(b"\n")
    if changes_at < len(text) and told[-1:] == [b""]:
        told.pop()
    message = b"\n".join(line.removeprefix(_INDENT) for line in told)
    return _Parts(match[1].decode(), match[2], headers, header_lines, message, record[changes_at:])


def _subject(message: bytes) -> bytes:
    """The first paragraph, as one line."""
    return b" ".join(message.partition(b"\n\n")[0].split(b"\n"))


def _signature(headers: dict[bytes, bytes]) -> str | None:
    said = headers.get(b"gpgsig") or headers.get(b"gpgsig-sha256")
    return _SIGNATURES.get(said) if said is not None else None


def _id_fits(parts: _Parts) -> bool | None:
    """True where the id is the hash of what stands there; None where git may have rewritten it.

    Git shows a message in another encoding than it has, without empty lines at its ends, and other
    parents where it was asked about some paths alone; so that it does not fit says nothing.
    """
    message = parts.message + b"\n" if parts.message else b""
    content = parts.header_lines + b"\n\n" + message
    known = b"commit %d\0%s" % (len(content), content)
    digits = len(parts.commit_id)
    # Git's name of a commit, broken as SHA-1 is; whoever wants more has a repository of SHA-256.
    digest = hashlib.sha1 if digits == 40 else hashlib.sha256  # noqa: PLR2004 - hex digits of SHA-1
    return True if digest(known, usedforsecurity=False).hexdigest() == parts.commit_id else None


class _Texts:
    """Bytes of a commit as texts, and which were none.

    Attributes:
        problems: noted so far.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []

    def text(self, said: bytes | None) -> str | None:
        """A text of bounded length; None for none."""
        if not said:
            return None
        try:
            return said.decode()[:TEXT_BYTES_MAX]
        except UnicodeDecodeError:
            self._note(_NOT_UTF8)
            return said[:TEXT_BYTES_MAX].decode(errors="replace")

    def identity(self, said: bytes | None, whose: str) -> tuple[str | None, int | None]:
        """Name and address, and when."""
        match = _IDENTITY.fullmatch(said) if said is not None else None
        if match is None:
            self._note(f"no {whose} that git could have written")
            return self.text(said), None
        time_ns = int(match[2]) * _NANOS
        if time_ns > INT64_MAX:
            self._note(f"{whose} at an impossible time")
        return self.text(match[1]), time_ns if time_ns <= INT64_MAX else None

    def change(self, status: str, path: bytes, before: bytes | None) -> dict[str, Any]:
        """What was done to one file."""
        said = {"change": status, "path": self.text(path), "from": self.text(before)}
        return {key: value for key, value in said.items() if value is not None}

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
