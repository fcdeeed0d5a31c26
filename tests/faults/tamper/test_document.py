"""The page about the catalogue says what the catalogue does."""

from __future__ import annotations

from tests.faults.tamper.bundle_attacks import BUNDLE_ATTACKS
from tests.faults.tamper.catalogue import all_attacks
from tests.faults.tamper.document import DOCUMENT, render


def test_page_is_the_one_that_the_catalogue_makes() -> None:
    want = "run ./dev python -m tests.faults.tamper.document"
    assert DOCUMENT.read_text(encoding="utf-8") == render(), want


def test_every_attack_says_in_a_line_what_it_does() -> None:
    for attacks in (all_attacks(), BUNDLE_ATTACKS):
        lines = [attack.what for attack in attacks]
        assert all(lines)
        assert len(set(lines)) == len(lines)
