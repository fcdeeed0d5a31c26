from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.commits import CommitFinder
from meshtrail.search.limits import SearchLimits
from meshtrail.search.searcher import Searcher
from meshtrail.units import UnixNanos
from tests.unit.search.small_log import FIRST_NS, ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMIT, OTHER = "c0" * 20, "d1" * 20
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


@pytest.fixture
def finder(log: SmallLog) -> Iterator[CommitFinder]:
    limits = SearchLimits()
    with Searcher(log.layout, log.signer.verifier, origin=ORIGIN, limits=limits) as searcher:
        yield CommitFinder(searcher, now_ns=UnixNanos(FIRST_NS + 10**12))


def image(digest: str, commit_id: str | None) -> dict[str, Any]:
    return {"kind": "deployment", "image_digest": digest, "commit_id": commit_id}


def test_an_image_leads_to_the_newest_label_of_its_whole_digest(
    log: SmallLog, finder: CommitFinder
) -> None:
    log.add_segment(
        [
            image(DIGEST, OTHER),
            image(DIGEST, COMMIT),
            image(DIGEST, None),
            image(DIGEST + "cd", "ee" * 20),
        ]
    )
    [clue] = finder.of_image(f"{DIGEST},sha256:00")
    assert (clue.commit_id, clue.told_by, clue.commit, clue.subject) == (COMMIT, 1, None, None)


@pytest.mark.parametrize("digests", [None, "", ",", "sha256:", "sha256:*", "x"])
def test_what_is_no_digest_leads_nowhere(
    log: SmallLog, finder: CommitFinder, digests: str | None
) -> None:
    log.add_segment([image(DIGEST, COMMIT)])
    assert list(finder.of_image(digests)) == []


def test_a_commit_is_told_by_its_repository_rather_than_by_a_push(
    log: SmallLog, finder: CommitFinder
) -> None:
    def commit(source: str, subject: str) -> dict[str, Any]:
        detail = json.dumps({"subject": subject})
        return {"kind": "commit", "commit_id": COMMIT, "source": source, "detail": detail}

    log.add_segment([commit("git-log", "mine"), commit("github", "pushed")])
    [clue] = finder.of_pod(COMMIT, 5)
    assert (clue.subject, clue.told_by) == ("mine", 5)
    assert list(finder.of_pod(None, 5)) == []
