"""docs/tamper-catalogue.md, made from the catalogue: ``python -m tests.faults.tamper.document``."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.tamper.attack import Attack, Outcome
from tests.faults.tamper.bundle_attacks import BUNDLE_ATTACKS
from tests.faults.tamper.catalogue import all_attacks
from tests.faults.tamper.flips import EXPECTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

DOCUMENT: Final = Path(__file__).resolve().parents[3] / "docs" / "tamper-catalogue.md"

_HEAD: Final = """\
# The tamper catalogue

What `meshtrail verify` and the two checkers of a bundle detect, and how they call it. This page is
made from the attacks in `tests/faults/tamper/`, each of which the tests run against a real log; it
is written again with `./dev python -m tests.faults.tamper.document`.

`verify` is given the log's true key (`--key`, or a pin); "the lock record is at hand" means
`--lock-record`. The report lists every finding; the one in the table gives the error its name, and
the command ends with exit 3.
"""

_FLIPS: Final = """\
## Single bytes

Each byte of each file of a small log is changed, one at a time. Each change is found, and the error
names the file.

| file | error |
|---|---|
"""

_BUNDLE: Final = """\
## Case bundles

Each attack goes through `meshtrail check` and through `check.py`, the checker in the bundle, which
shares no code with it. The latter ends with 3 when the evidence does not hold and with 65 when the
input is no bundle.

| what is done | `meshtrail check` | `check.py` |
|---|---|---|
"""

_BUNDLE_FLIPS: Final = """
Besides, each byte of the entries, proofs, key and checkpoint, and each byte of the zip itself, is
changed in turn: each change is refused, or is in a part of the zip that means nothing (times,
attributes), and leaves every file as it was.
"""

_OUTSIDE: Final = """\
## Outside the promise

`verify` says nothing of these, and cannot: what it is given is the same as an honest log's.

| what is done | the attacker has |
|---|---|
"""

_NOT_TRIED: Final = (
    (
        "Statistics or Bloom filters are false from the start, under a good signature",
        "the files and the log's key",
    ),
    (
        "Checkpoints older than all manifests that are left are removed; no lock record is kept",
        "the files",
    ),
    (
        "A record is changed before it reaches the journal, or never sent",
        "the proxy or the network",
    ),
    ("Everything is deleted: that is seen, and not undone", "the files"),
)
"""What is outside the promise by what it is, so that there is nothing to run."""

_BUNDLE_OUTSIDE: Final = """
Of a bundle, `README.txt`, `check.py` and the columns of `events.jsonl` that do not stand in an
entry's header are no evidence:

| what is done | `meshtrail check` | `check.py` |
|---|---|---|
"""


def render() -> str:
    """The whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield _HEAD
    yield _FLIPS + "".join(
        f"| `{folder}{'' if '.' in folder else '/'}` | {_codes(sorted(errors))} |\n"
        for folder, errors in sorted(EXPECTED.items())
    )
    found = [one for one in all_attacks() if one.outcome in {Outcome.TAMPERED, Outcome.REFUSED}]
    for group, attacks in groupby(found, key=lambda one: one.group):
        yield _table(group, attacks)
    yield _crash_table([one for one in all_attacks() if one.outcome is Outcome.EXPLAINED])
    refused = [one for one in BUNDLE_ATTACKS if one.check]
    yield (
        _BUNDLE
        + "".join(f"| {one.what} | {_codes([one.check])} | {one.status} |\n" for one in refused)
        + _BUNDLE_FLIPS
    )
    unnoticed = [one for one in all_attacks() if one.outcome is Outcome.UNNOTICED]
    outside = [*((one.what, str(one.power)) for one in unnoticed), *_NOT_TRIED]
    yield (
        _OUTSIDE
        + "".join(f"| {what} | {power} |\n" for what, power in outside)
        + (
            _BUNDLE_OUTSIDE
            + "".join(
                f"| {one.what} | proven | {one.status} |\n"
                for one in BUNDLE_ATTACKS
                if not one.check
            )
        )
    )


def _table(group: str, attacks: Iterable[Attack]) -> str:
    rows = [
        f"## {group}\n",
        "| what is done | the attacker has | error | named |",
        "|---|---|---|---|",
        *(
            f"| {one.what} | {one.power} | {_codes([one.check])} | {_codes(_subjects(one))} |"
            for one in attacks
        ),
    ]
    return "\n".join(rows) + "\n"


def _subjects(one: Attack) -> list[str]:
    return [_shortened(subject) for subject in [one.subject, *(named for _, named in one.also)]]


def _crash_table(attacks: Sequence[Attack]) -> str:
    rows = [
        "## What a crash explains\n",
        "None of this is tampering: the report lists it as explained, and the exit code is 0.\n",
        "| what is found | called | named |",
        "|---|---|---|",
        *(
            f"| {one.what} | {_codes([one.check])} | {_codes([_shortened(one.subject)])} |"
            for one in attacks
        ),
    ]
    return "\n".join(rows) + "\n"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names if name)


def _shortened(subject: str) -> str:
    """A blob's name has 64 digits, of which eight say enough."""
    folder, _, name = subject.partition("blobs/")
    return f"blobs/{name[:8]}…" if name and not folder else subject


if __name__ == "__main__":
    DOCUMENT.write_text(render(), encoding="utf-8")
