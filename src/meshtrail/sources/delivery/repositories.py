"""Names of repositories, refs and revisions: one spelling for each, so that they compare equal."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from meshtrail.sources.digests import read_commit

_URL: Final = re.compile(r"(?:https?|ssh|git)://(?:[^/@]*@)?([^/@:]+(?::[0-9]+)?)/+(.+)", re.DOTALL)
_SCP: Final = re.compile(r"(?:[^/@:]*@)?([^/@:]+):(?!/)(.+)", re.DOTALL)
_SSH_PORT: Final = re.compile(r":22")
_REVISION: Final = re.compile(r"(?:(.*)@)?(?:sha1|sha256):([0-9a-f]+)", re.DOTALL)


class Revision(NamedTuple):
    """What a tool says that it delivered.

    Attributes:
        ref: branch or tag, where it is told.
        commit_id: a whole one.
    """

    ref: str | None = None
    commit_id: str | None = None


def read_repository(said: str | None) -> str | None:
    """A repository as ``https://host/path``, whichever way it is fetched.

    Without the user or password that stands in some, without ``.git``; what is neither a URL nor
    what scp understands stays as it is.
    """
    if said is None:
        return None
    match = _URL.fullmatch(said) or (_SCP.fullmatch(said) if "://" not in said else None)
    if match is None:
        return said
    host = match[1].lower()
    if said.startswith("ssh:"):
        host = _SSH_PORT.sub("", host)
    return f"https://{host}/{match[2].rstrip('/').removesuffix('.git')}"


def read_ref(said: str | None) -> str | None:
    """A branch or tag without where git keeps it; other refs as they are."""
    if said is None:
        return None
    return said.removeprefix("refs/heads/").removeprefix("refs/tags/") or None


def read_revision(said: str | None) -> Revision:
    """A revision as Argo CD and Flux write it.

    That is a commit, ``main@sha1:…`` or, before Flux 2.0, ``main/…``. Other texts (versions of
    charts) name neither.
    """
    if said is None:
        return Revision()
    if commit_id := read_commit(said):
        return Revision(None, commit_id)
    match = _REVISION.fullmatch(said)
    if match is not None:
        return Revision(match[1] or None, read_commit(match[2]))
    ref, _, last = said.rpartition("/")
    commit_id = read_commit(last)
    return Revision(ref or None, commit_id) if commit_id is not None else Revision()
