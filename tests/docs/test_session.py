"""A document's commands run as in one terminal, and every way they can go wrong is heard of."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.docs.console import Command
from tests.docs.session import CommandError, Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    checkout = tmp_path / "checkout"
    (checkout / "docs").mkdir(parents=True)
    (checkout / "docs" / "example").write_text("linked\n")
    (checkout / "dev").write_text('#!/bin/sh\necho "dev was given $*"\n')
    (checkout / "dev").chmod(0o755)
    folder = tmp_path / "session"
    folder.mkdir()
    with closing(Session(checkout, folder)) as session:
        yield session


def command(text: str, *shown: str) -> Command:
    return Command(1, text, shown)


def test_commands_share_folder_and_exported_variables(session: Session) -> None:
    session.run(command("mkdir -p 'a b' && cd 'a b' && export NAME='it is me'"))
    session.run(command('echo "$NAME"; basename "$PWD"', "it is me", "a b"))


def test_commands_reach_dev_and_the_files_of_the_checkout(session: Session) -> None:
    session.run(command("./dev meshtrail --help", "dev was given meshtrail --help"))
    session.run(command("cat docs/example", "linked"))


def test_commands_find_nothing_beyond_python_sh_and_coreutils(session: Session) -> None:
    session.run(command("python3 -c 'print(1)'", "1"))
    with pytest.raises(CommandError, match="exit 127"):
        session.run(command("git --version"))


def test_command_that_fails_is_an_error_though_nothing_was_shown(session: Session) -> None:
    with pytest.raises(CommandError, match="exit 3"):
        session.run(command("exit 3"))
    with pytest.raises(CommandError, match="exit 1"):
        session.run(command("false"))


def test_command_that_prints_something_else_is_an_error(session: Session) -> None:
    with pytest.raises(CommandError, match="printed something else"):
        session.run(command("echo one", "two"))


def test_background_command_is_waited_for_until_it_printed_what_is_shown(session: Session) -> None:
    session.run(
        command("(echo starting; echo ready; touch ready; sleep 60) &", "starting", "ready")
    )
    session.run(command("ls ready", "ready"))


def test_background_command_that_ends_early_is_an_error(session: Session) -> None:
    with pytest.raises(CommandError, match="ended with 7"):
        session.run(command("(echo starting; exit 7) &", "ready"))


def test_background_commands_are_stopped_with_the_session(session: Session) -> None:
    session.run(
        command("trap 'echo over >over; exit' TERM; echo up; while :; do sleep 0.1; done &", "up")
    )
    session.close()
    assert (session.work / "over").read_text() == "over\n"
