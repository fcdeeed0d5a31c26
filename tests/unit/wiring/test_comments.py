from __future__ import annotations

from meshtrail.wiring.comments import format_comment


def test_comment_fits_a_terminal_and_keeps_its_words() -> None:
    text = " ".join(f"word{number}" for number in range(80))
    comment = format_comment(text, indent="  ")
    lines = comment.splitlines()
    assert all(line.startswith("  # ") and len(line) <= 100 for line in lines)
    assert " ".join(line.removeprefix("  # ") for line in lines) == text


def test_paragraphs_are_parted_by_an_empty_comment() -> None:
    assert format_comment("One.\n\nTwo.") == "# One.\n#\n# Two.\n"
