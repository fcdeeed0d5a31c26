from __future__ import annotations

import io

import pytest

from meshtrail.demo.narration import Narrator, is_styled


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(*, styled: bool = False) -> tuple[Narrator, io.StringIO]:
    stream = io.StringIO()
    return Narrator(stream, is_styled=styled), stream


@pytest.mark.parametrize(
    ("stream", "environment", "styled"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (Terminal(), {}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_style_is_for_terminals_whose_user_did_not_refuse_it(
    stream: io.StringIO, environment: dict[str, str], *, styled: bool
) -> None:
    assert is_styled(stream, environment) is styled


def test_plain_text_holds_no_escapes_and_styled_text_says_the_same() -> None:
    texts = []
    for styled in (False, True):
        narrator, stream = told(styled=styled)
        narrator.title("A shop")
        narrator.heading(1, "What?")
        narrator.command("meshtrail status")
        narrator.claim("it runs", holds=True)
        narrator.verdict("done", holds=True)
        texts.append(stream.getvalue())
    plain, colourful = texts
    assert "\x1b" not in plain
    assert "\x1b[1m" in colourful
    for code in ("0", "1", "2", "32", "1;31", "1;36"):
        colourful = colourful.replace(f"\x1b[{code}m", "")
    assert colourful == plain


def test_claim_that_does_not_hold_shows_what_was_expected_and_seen() -> None:
    narrator, stream = told()
    narrator.claim("three were denied", holds=False, want=3, got=2)
    assert stream.getvalue() == "✗ three were denied\n  expected  3\n  seen      2\n"


def test_command_of_several_lines_can_be_copied_as_a_whole() -> None:
    narrator, stream = told()
    narrator.command('meshtrail search --sql "SELECT 1\n  FROM events"')
    assert stream.getvalue() == '\n  $ meshtrail search --sql "SELECT 1\n    FROM events"\n'


def test_output_shows_of_a_progress_line_what_stood_there_last() -> None:
    narrator, stream = told()
    narrator.output("hashed: 1 of 2\rhashed: 2 of 2\r\rclean\nlast\n")
    assert stream.getvalue() == "  clean\n  last\n"


def test_output_of_nothing_is_nothing() -> None:
    narrator, stream = told()
    narrator.output("")
    assert not stream.getvalue()
