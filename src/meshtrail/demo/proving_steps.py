"""The second half of the tour: the record is as it was signed, and others can check that alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.demo.breach import CULPRIT
from meshtrail.demo.finding_steps import DENIED, stolen_requests
from meshtrail.demo.shell import find_python

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.demo.story import Story
    from meshtrail.demo.tour import Row, Tour

COPY: Final = "copy"
BUNDLE: Final = "evidence.zip"
COPIES_MAX: Final = 8
_TAMPERED_STATUS: Final = 3
_NEWEST_MANIFEST: Final = 'ls "$MESHTRAIL_DATA/manifest" | tail -n 1'
_FLIP: Final = (
    "{python} -c \"from pathlib import Path; f = Path('{file}'); "
    'b = bytearray(f.read_bytes()); b[len(b) // 2] ^= 1; f.write_bytes(b)"'
)


def step_verify(tour: Tour, story: Story) -> None:
    """The whole log against what it signed."""
    tour.step(
        "Is this the record as it was signed?",
        "verify trusts nothing in the directory: it hashes every entry again, against every tree "
        "head that was ever signed.",
    )
    report = next(iter(tour.show_and_ask("meshtrail verify")), {})
    tour.begin_claims()
    tour.claim("nothing was changed", want="clean", got=report.get("verdict"))
    tour.claim(
        "the key was not taken from the directory: it is pinned outside",
        want=(True, "pin"),
        got=(report.get("pinned"), report.get("source")),
    )
    tour.claim(
        "every record is among what was hashed",
        want=story.settled.flushed_count,
        got=min(report.get("entries", 0), story.settled.flushed_count),
    )


def step_tampering(tour: Tour, story: Story) -> None:
    """One bit of the copy's file that holds the theft."""
    stolen = tour.recall(f"meshtrail search '{stolen_requests(story)}'")
    tour.step(
        "What if an insider edits it?",
        "In a copy, one bit changes in the file that holds the theft.",
    )
    _show_copying(tour)
    segments = tour.ask_one(f"meshtrail catalogue --data {COPY}").get("segments", [])
    file = find_segment(segments, index=max((int(row["log_index"]) for row in stolen), default=0))
    tour.show(_FLIP.format(python=find_python(), file=f"{COPY}/segments/{file}"))
    command = f"meshtrail verify --data {COPY}"
    report = next(iter(tour.show_and_ask(command, exit_status=_TAMPERED_STATUS)), {})
    tour.begin_claims()
    tour.claim(
        "verify ends with status 3 and names the file, hence its entries: this one and no other",
        want=("tampered", [f"segments/{file}"]),
        got=(
            report.get("verdict"),
            [finding["subject"] for finding in report.get("findings", [])],
        ),
    )


def step_hand_over(tour: Tour, story: Story) -> None:
    """A bundle, checked without meshtrail."""
    python = find_python()
    stolen = tour.recall(f"meshtrail search '{stolen_requests(story)}'")
    denied = [
        row
        for row in tour.recall(f"meshtrail search '{DENIED}'")
        if row.get("src_service_account") == CULPRIT.name
    ]
    indexes = sorted(int(row["log_index"]) for row in [*stolen, *denied])
    tour.step(
        "Can you prove it to somebody who trusts nobody here?",
        f"The {len(denied)} denials and the {len(stolen)} reads, handed over with their proofs. "
        "The bundle brings a checker of one file in plain Python; the log's key goes another way.",
    )
    if not indexes:
        tour.claim("there is something to prove", want="the theft and the denials", got=[])
        return
    tour.show(f"meshtrail prove {' '.join(map(str, indexes))} --bundle {BUNDLE}")
    tour.show("meshtrail keys show >log.vkey")
    tour.show(f"{python} -m zipfile -e {BUNDLE} evidence")
    printed = tour.show(f"{python} -I evidence/check.py {BUNDLE} --key log.vkey")
    tour.begin_claims()
    tour.claim(
        f"plain Python says PROVEN of all {len(indexes)}, against the key that was passed",
        want=f"PROVEN: {len(indexes)} entries are in the log {story.origin}; the key that you "
        "passed signed it",
        got=(printed.rstrip("\n").rsplit("\n", 1)[-1]).strip(),
    )


def find_segment(segments: Iterable[Row], *, index: int) -> str:
    """The name of the file that holds an entry.

    Args:
        segments: of the catalogue: each entry is in one of them.
        index: of the entry.

    Returns:
        The name; empty when no file holds the entry.
    """
    paths = [one["path"] for one in segments if one["start"] <= index < one["end"]]
    return paths[0].rpartition("/")[2] if paths else ""


def _show_copying(tour: Tour) -> None:
    """Copy the data; again if it was written meanwhile, since a half new copy is no whole log."""
    for _ in range(COPIES_MAX):
        before = tour.ask_text(_NEWEST_MANIFEST)
        tour.show(f'cp -r "$MESHTRAIL_DATA" {COPY}')
        if tour.ask_text(_NEWEST_MANIFEST) == before:
            return
        tour.show(f"rm -r {COPY}")
    tour.claim("the data stays as it is while it is copied", want="idle", got="written")
