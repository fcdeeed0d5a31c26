"""Console blocks are read as a person reads them, and output is compared as loosely as shown."""

from __future__ import annotations

import pytest

from tests.docs.console import Command, DocumentError, output_matches, parse_commands


def document(*lines: str, fence: str = "console") -> str:
    return "\n".join(["# Title", f"```{fence}", *lines, "```", "$ no command"])


def test_block_yields_each_command_with_the_output_under_it() -> None:
    assert parse_commands(document("$ first", "one", "two", "$ second")) == [
        Command(3, "first", ("one", "two")),
        Command(6, "second", ()),
    ]


def test_command_that_goes_on_keeps_its_lines_together() -> None:
    [command] = parse_commands(document("$ search \\", ">   --limit 1", "row"))
    assert (command.text, command.shown) == ("search \\\n  --limit 1", ("row",))


@pytest.mark.parametrize(
    ("text", "background"), [("up &", True), ("up && down", False), ("a &&", False), ("up", False)]
)
def test_command_runs_in_the_background_where_it_ends_in_one_ampersand(
    text: str, *, background: bool
) -> None:
    assert Command(1, text, ()).is_background is background


def test_block_of_another_language_is_not_run() -> None:
    assert parse_commands(document("$ rm -rf /", fence="text")) == []


def test_block_and_command_marked_no_run_are_left_out_with_their_output() -> None:
    assert parse_commands(document("$ x", fence="console no-run: needs a cluster")) == []
    commands = parse_commands(document("$ a", "$ b  # no-run: takes an hour", "out of b", "$ c"))
    assert commands == [Command(3, "a", ()), Command(6, "c", ())]


@pytest.mark.parametrize(
    "text",
    [
        document("$ x", fence="console no-run"),
        document("$ x", fence="console no-run: why"),
        document("$ x", fence="console skip: needs a cluster"),
        document("$ x # no-run"),
        document("output first", "$ x"),
        document("$ x \\"),
    ],
)
def test_block_that_cannot_be_run_as_written_is_refused(text: str) -> None:
    with pytest.raises(DocumentError, match=r"line [23]"):
        parse_commands(text)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ((), "anything\n"),
        (("",), "anything\n"),
        (("one", "two"), "one\ntwo\n"),
        (("one  ", "", ""), "one\n\n"),
        (("took … ms",), "took 17 ms\n"),
        (("first", "…", "last"), "first\nlast\n"),
        (("first", "…", "last"), "first\n2\n3\nlast\n"),
        (("a.b (c)",), "a.b (c)\n"),
    ],
)
def test_output_matches_what_is_shown(shown: tuple[str, ...], printed: str) -> None:
    assert output_matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        (("one",), ""),
        (("one",), "one\ntwo\n"),
        (("one", "two"), "two\none\n"),
        (("took … ms",), "took 17 s\n"),
        (("took … ms",), "took\n17 ms\n"),
        (("first", "…", "last"), "first\n2\n"),
        (("a.b",), "axb\n"),
    ],
)
def test_output_differs_from_what_is_shown(shown: tuple[str, ...], printed: str) -> None:
    assert not output_matches(shown, printed)
