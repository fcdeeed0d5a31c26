"""Findings are bounded, counted, and the verdict names the cause."""

from __future__ import annotations

from meshtrail import errors
from meshtrail.errors import DigestError, LeafError, StreamError, TamperError
from meshtrail.verify.findings import (
    FINDINGS_MAX,
    VERDICT_ORDER,
    Finding,
    Findings,
    PieceFindings,
    Severity,
    explained,
    noted,
    plain,
    tampered,
    verdict_of,
)


def leaf(index: int) -> Finding:
    return tampered(LeafError(f"entry {index}", leaf_index=index), f"entry {index}")


def test_every_kind_of_tampering_has_a_place_in_the_verdict() -> None:
    leaves = {
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, TamperError) and error is not TamperError
    }
    assert set(VERDICT_ORDER) == leaves
    assert len(VERDICT_ORDER) == len(leaves)


def test_findings_over_the_bound_are_counted_and_not_kept() -> None:
    findings = Findings()
    findings.extend(leaf(index) for index in range(FINDINGS_MAX + 7))
    findings.add(explained("torn-blob", "blobs/a", "torn"))
    assert len(findings.of(Severity.TAMPERED)) == FINDINGS_MAX
    assert findings.counts == {"LeafError": FINDINGS_MAX + 7}
    assert [finding.check for finding in findings.of(Severity.EXPLAINED)] == ["torn-blob"]


def test_rows_of_a_piece_are_described_up_to_the_bound() -> None:
    found = PieceFindings()
    found.add_rows(range(FINDINGS_MAX + 5), leaf)
    found.add_rows([], leaf)
    findings = Findings()
    findings.take(found)
    assert found.kept[3].subject == "entry 3"
    assert findings.counts == {"LeafError": FINDINGS_MAX + 5}


def test_verdict_is_the_first_finding_of_the_most_telling_class() -> None:
    later = tampered(StreamError("hole"), "stream 1")
    file = tampered(DigestError("changed"), "segments/a")
    verdict = verdict_of([noted("n", "s", "m"), later, file, leaf(4), leaf(2)])
    assert verdict is not None
    assert (verdict[0], verdict[1].subject) == (LeafError, "entry 4")
    assert verdict_of([explained("e", "s", "m")]) is None


def test_facts_are_plain_in_json() -> None:
    finding = tampered(DigestError("m", want=b"\x01", got=[b"\x02", None, 3], at=DigestError), "s")
    facts = finding.as_json()["facts"]
    assert facts == {"want": "01", "got": ["02", None, 3], "at": str(DigestError)}
    assert plain(value=True) is True
