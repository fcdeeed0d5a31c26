from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtrail.demo.shell import Shell, quote

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return Shell(tmp_path, is_terminal=request.param)


def test_output_is_both_streams_in_the_order_of_writing(shell: Shell) -> None:
    output = shell.run("echo one; echo two >&2; echo three; exit 7")
    assert (output.text, output.exit_status) == ("one\ntwo\nthree\n", 7)


def test_question_is_answered_by_standard_output_alone(shell: Shell) -> None:
    assert shell.ask("echo one; echo two >&2").text == "one\n"


def test_command_runs_in_the_demos_directory_with_its_data_and_keys(
    shell: Shell, tmp_path: Path
) -> None:
    words = shell.run('pwd; echo "$MESHTRAIL_DATA"; echo "$MESHTRAIL_HOME"').text.split("\n")
    assert words == [str(tmp_path), str(tmp_path / "data"), str(tmp_path / "home"), ""]


def test_meshtrail_is_the_one_that_runs_now(shell: Shell) -> None:
    assert shell.run("meshtrail --version").text.startswith("meshtrail ")


def test_lines_for_the_reader_set_up_a_shell_that_does_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "a demo"
    folder.mkdir()
    shell = Shell(folder, is_terminal=False)
    script = "\n".join([*shell.setting_lines(), 'echo "$MESHTRAIL_DATA"; command -v meshtrail'])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{folder}/data\n{folder}/bin/meshtrail\n"


def test_command_has_a_terminal_only_where_the_reader_has_one(tmp_path: Path) -> None:
    for name, is_terminal in (("a", False), ("b", True)):
        folder = tmp_path / name
        folder.mkdir()
        status = Shell(folder, is_terminal=is_terminal).run("test -t 1").exit_status
        assert status == (0 if is_terminal else 1)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_quoted_word_is_read_back_as_it_was(word: str) -> None:
    assert shlex.split(quote(word)) == [word]


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("kind:request", "kind:request"),
        ("kind:request AND x:*", "'kind:request AND x:*'"),
        ("it's", '"it\'s"'),
        ("", "''"),
    ],
)
def test_word_is_quoted_only_as_far_as_it_has_to_be(word: str, quoted: str) -> None:
    assert quote(word) == quoted
