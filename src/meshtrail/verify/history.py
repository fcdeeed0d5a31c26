"""What was signed, held against what else was signed: how far checkpoints and manifests agree.

Tells a state that a crash can leave (docs/formats/layout.md, commit order) from an older or a cut
directory. Knows heads by size and root only; the entries come later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import MissingFileError, RollbackError, SignatureError
from meshtrail.verify.checkpoints import (
    RawNote,
    RawRun,
    collect_heads,
    cut_notes,
    damage_findings,
    is_torn,
    open_head,
)
from meshtrail.verify.findings import Finding, explained, tampered
from meshtrail.verify.heads import SignedHeads

if TYPE_CHECKING:
    from meshtrail.note import Checkpoint, VerifierKey
    from meshtrail.verify.manifests import Chain
    from meshtrail.verify.snapshot import NotesFile, Snapshot
    from meshtrail.verify.workers import Workers

PUBLISHED = "published/checkpoint"


@dataclass(slots=True)
class History:
    """Everything signed, as far as it is good.

    Attributes:
        heads: of checkpoints and published, later of manifests and the lock record too.
        published: None when there is none, or it is not good.
    """

    heads: SignedHeads
    published: Checkpoint | None
    checkpoints_count: int
    lock_heads_count: int
    findings: list[Finding]


def read_history(
    snapshot: Snapshot, chain: Chain, *, verifier: VerifierKey, workers: Workers
) -> History:
    """Open every signed head, and check all of them against the manifests.

    Args:
        snapshot: what is signed, as bytes.
        chain: the manifests of the same snapshot.
        verifier: the trusted key.
        workers: who checks the signatures.
    """
    heads = SignedHeads()
    runs = [cut_notes(day.read(), name=day.name, origin=verifier.name) for day in snapshot.days]
    count, findings = collect_heads(runs, heads, verifier=verifier, workers=workers)
    for run in runs:
        findings += damage_findings(run)
    findings += _rest_findings(runs, heads, chain, verifier)
    published, problems = _open_published(snapshot, verifier)
    findings += problems
    findings += _check_extent(heads, chain)
    findings += _check_published(published, heads, chain, is_there=snapshot.published is not None)
    if published is not None:
        fork = heads.add(published.tree_size, published.root_hash, PUBLISHED)
        findings += [fork] if fork else []
    lock_count = 0
    if snapshot.lock_record is not None:
        lock_count, problems = _read_lock_record(snapshot.lock_record, heads, chain, verifier)
        findings += problems
    findings += _add_manifests(chain, heads)
    return History(heads, published, count, lock_count, findings)


def _rest_findings(
    runs: list[RawRun], heads: SignedHeads, chain: Chain, verifier: VerifierKey
) -> list[Finding]:
    """Bytes behind the last whole note of each day: a crash leaves them in the last one only."""
    findings = []
    newest = heads.largest if heads.largest is not None else -1
    candidates = [
        (read.manifest.tree_size, read.manifest.root_hash)
        for read in chain.manifests
        if read.is_signed and read.manifest.tree_size > newest
    ]
    for run in runs:
        if not run.rest:
            continue
        is_last = run is runs[-1]
        if is_last and is_torn(run.rest, verifier=verifier, candidates=candidates):
            message = (
                f"{run.rest_place}: a checkpoint that a crash tore; it is signed again at the start"
            )
            findings.append(explained("torn-checkpoint", run.rest_place, message))
        else:
            findings.append(
                tampered(
                    SignatureError(
                        f"{run.rest_place}: bytes that are no signed checkpoint",
                        place=run.rest_place,
                    ),
                    run.rest_place,
                )
            )
    return findings


def _open_published(
    snapshot: Snapshot, verifier: VerifierKey
) -> tuple[Checkpoint | None, list[Finding]]:
    if snapshot.published is None:
        return None, []
    head = open_head(RawNote(PUBLISHED, snapshot.published), verifier)
    return (None, [head]) if isinstance(head, Finding) else (head, [])


def _check_extent(heads: SignedHeads, chain: Chain) -> list[Finding]:
    """Checkpoints and manifests reach equally far, but for the one commit under way."""
    largest = heads.largest
    if chain.newest is None:
        if largest is not None:
            return [
                _rolled_back(
                    f"manifests are gone, a checkpoint of size {largest} is signed", 0, largest
                )
            ]
        return []
    newest = chain.tree_size
    if largest is not None and largest > newest:
        return [
            _rolled_back(
                f"the newest manifest, {chain.newest.number}, has tree size {newest}, "
                f"a checkpoint of {largest} is signed",
                newest,
                largest,
            )
        ]
    reached = -1 if largest is None else largest
    sizes = {read.manifest.tree_size for read in chain.manifests if read.is_signed}
    ahead = sorted(size for size in sizes if size > reached)
    findings = [_gone(size) for size in sorted(sizes) if size <= reached and not heads.find(size)]
    if len(ahead) > 1:
        findings.append(
            _rolled_back(
                f"the last checkpoint has tree size {largest}, manifests went on to {ahead}: "
                "at most one commit can be without its checkpoint",
                largest,
                ahead[-1],
            )
        )
    elif ahead:
        message = (
            f"manifest {chain.newest.number} has tree size {newest}, "
            f"the last checkpoint {largest}: a commit was under way"
        )
        findings.append(explained("manifest-ahead", chain.newest.name, message))
    return findings


def _check_published(
    published: Checkpoint | None, heads: SignedHeads, chain: Chain, *, is_there: bool
) -> list[Finding]:
    """The published checkpoint is the last one, or the one before while a commit was under way."""
    largest = heads.largest
    if published is None:
        # An unreadable one is reported already; before the first commit ended there is none.
        is_first = len({read.manifest.tree_size for read in chain.manifests}) <= 1
        if is_there or largest is None or (is_first and len(heads) <= 1):
            return []
        return [tampered(MissingFileError(f"{PUBLISHED} is gone", path=PUBLISHED), PUBLISHED)]
    size = published.tree_size
    if largest is None or size > largest:
        return [
            _rolled_back(
                f"checkpoints/ ends at tree size {largest}, {PUBLISHED} has {size}", largest, size
            )
        ]
    if not heads.find(size):
        return [_gone(size)]
    return _check_behind(size, heads.count_above(size), largest, chain)


def _check_behind(size: int, behind: int, largest: int, chain: Chain) -> list[Finding]:
    """The published checkpoint is not older than a commit under way explains."""
    if behind == 0:
        return []
    if behind == 1 and largest == chain.tree_size:
        message = (
            f"{PUBLISHED} has tree size {size}, the last checkpoint {largest}: "
            "a commit was under way"
        )
        return [explained("unpublished-checkpoint", PUBLISHED, message)]
    error = RollbackError(
        f"{PUBLISHED} has tree size {size}, {behind} later checkpoints are signed, the last of "
        f"{largest}: it is an old one",
        want=largest,
        got=size,
    )
    return [tampered(error, PUBLISHED)]


def _read_lock_record(
    record: NotesFile, heads: SignedHeads, chain: Chain, verifier: VerifierKey
) -> tuple[int, list[Finding]]:
    """Every head in the lock record is signed, and one that this directory signed or reaches.

    Each is there before its checkpoint. So without any whole one it was cut off after a checkpoint
    was signed, or tore at the very first.
    """
    run = cut_notes(record.read(), name=record.name, origin=verifier.name)
    findings = damage_findings(run)
    largest = heads.largest if heads.largest is not None else -1
    count = 0
    for note in run.notes:
        head = open_head(note, verifier)
        if isinstance(head, Finding):
            findings.append(head)
            continue
        count += 1
        if head.tree_size > chain.tree_size:
            findings.append(
                _rolled_back(
                    f"{record.name} has a signed tree of size {head.tree_size}, the log in this "
                    f"directory has {chain.tree_size}: it is older than what was signed",
                    chain.tree_size,
                    head.tree_size,
                )
            )
            continue
        if head.tree_size <= largest and not heads.find(head.tree_size):
            findings.append(_gone(head.tree_size))
        fork = heads.add(head.tree_size, head.root_hash, record.name)
        findings += [fork] if fork else []
    if run.rest and not run.notes and largest >= 0:
        error = SignatureError(f"{record.name} holds no signed note", place=run.rest_place)
        findings.append(tampered(error, record.name))
    elif run.rest:
        message = f"{run.rest_place}: a head that is not whole, as a crash leaves it"
        findings.append(explained("torn-checkpoint", run.rest_place, message))
    return count, findings


def _add_manifests(chain: Chain, heads: SignedHeads) -> list[Finding]:
    """A signed manifest's root is a signed head too."""
    findings = []
    for read in chain.manifests:
        if read.is_signed:
            fork = heads.add(read.manifest.tree_size, read.manifest.root_hash, read.name)
            findings += [fork] if fork else []
    return findings


def _rolled_back(message: str, got: int | None, want: int) -> Finding:
    return tampered(RollbackError(message, want=want, got=got), f"checkpoint {want}")


def _gone(tree_size: int) -> Finding:
    return tampered(
        MissingFileError(
            f"the checkpoint of tree size {tree_size}, which was signed, is gone from checkpoints/",
            tree_size=tree_size,
        ),
        f"checkpoint {tree_size}",
    )
