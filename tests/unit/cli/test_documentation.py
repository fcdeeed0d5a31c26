from __future__ import annotations

from pathlib import Path

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_data_option, make_parser


def test_a_parser_documents_what_it_is_for_examples_and_statuses() -> None:
    parser = make_parser(
        "wave",
        """
        First paragraph,
        on two lines.

        Second.
        """,
        examples=[("meshtrail wave --high", "Waves high.")],
        exits=[exit_codes.CONFIG],
        usage="[--high]",
    )
    text = parser.format_help()
    assert text.startswith(
        "usage: meshtrail wave [--high]\n\nFirst paragraph, on two lines.\n\nSecond."
    )
    assert "examples:\n  meshtrail wave --high\n      Waves high.\n" in text
    assert text.endswith(
        "exit status:\n  0   done\n  2   the arguments do not make a command\n"
        "  78  the options, a key or the data directory do not allow a start\n"
    )


def test_options_are_never_guessed_from_their_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    # An option added later would change what a script's shortened one means.
    parser = make_parser("x", "X.", examples=[], exits=[])
    parser.add_argument("--overwrite", action="store_true")
    with pytest.raises(SystemExit):
        parser.parse_args(["--over"])
    assert "meshtrail x --help" in capsys.readouterr().err


def test_the_data_directory_comes_from_the_option_the_environment_or_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def data(*arguments: str) -> Path:
        parser = make_parser("x", "X.", examples=[], exits=[])
        add_data_option(parser)
        path = parser.parse_args(arguments).data
        assert isinstance(path, Path)
        return path

    monkeypatch.delenv("MESHTRAIL_DATA", raising=False)
    assert data() == Path("meshtrail-data")
    monkeypatch.setenv("MESHTRAIL_DATA", "/from/environment")
    assert data() == Path("/from/environment")
    assert data("--data", "/from/option") == Path("/from/option")
