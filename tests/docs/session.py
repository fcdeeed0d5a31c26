"""Runs the commands of one document as its reader would, with nothing but what the README asks for.

The reader has a checkout, an empty home, and a PATH of python3, sh and coreutils. Commands share a
working directory and exported variables, as in one terminal; those that end in ``&`` run on until
the document ends, and the next command waits until they have printed what is shown for them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.docs.console import Command, output_matches

COMMAND_SECONDS_MAX = 120
STOP_SECONDS_MAX = 20
POLL_SECONDS = 0.05
# The parts of coreutils that a reader's shell or ./dev may call.
COREUTILS = """
    basename cat chmod cksum cp cut date dirname env false head id kill ln ls mkdir mktemp mv nl od
    printf pwd readlink realpath rm rmdir seq sha256sum sleep sort stat sync tail tee test touch tr
    true truncate uniq wc yes
"""
# Where this machine gets its packages from and whom it trusts for that, should a command set up
# the environment. Nothing else of the tests' surroundings reaches a document's commands.
KEPT = ("PIP_", "SSL_CERT_", "REQUESTS_CA_BUNDLE", "MESHTRAIL_ENV", "MESHTRAIL_PYTHON")


class CommandError(Exception):
    """A command that failed, or printed something else than the document shows."""


class Session:
    """A terminal in a folder that looks like the checkout."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        """Lay the folder out.

        Args:
            checkout: the real checkout; its files are linked, its ``./dev`` is called.
            folder: an empty folder of the test's own.
        """
        self.work = folder / "meshtrail"
        self.variables = {
            **{name: value for name, value in os.environ.items() if name.startswith(KEPT)},
            "HOME": str(folder / "home"),
            "PATH": str(folder / "bin"),
        }
        self._state = folder / "state"
        self._state.touch()
        self._folder = folder
        self._background: list[subprocess.Popen[bytes]] = []
        (folder / "home").mkdir()
        link_programs(folder / "bin")
        link_checkout(checkout, self.work)

    def run(self, command: Command) -> None:
        """Run one command to its end, or start it if it is one for the background.

        Raises:
            CommandError: it failed, took too long, or did not print what is shown.
        """
        if command.is_background:
            self._start(command)
            return
        script = f"{self._before()}\n{command.text}\n{self._after()}"
        try:
            done = subprocess.run(
                ["sh", "-c", script],
                cwd=self.work,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=COMMAND_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandError(report(command, f"ran over {COMMAND_SECONDS_MAX} s", "")) from error
        printed = done.stdout.decode()
        if done.returncode != 0:
            raise CommandError(report(command, f"exit {done.returncode}", printed))
        if not output_matches(command.shown, printed):
            raise CommandError(report(command, "printed something else", printed))

    def close(self) -> None:
        """Stop what still runs in the background, the last one first."""
        for process in reversed(self._background):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _start(self, command: Command) -> None:
        output = self._folder / f"background-{len(self._background)}"
        text = command.text.rstrip().removesuffix("&")
        with output.open("wb") as stream:
            process = subprocess.Popen(
                ["sh", "-c", f"{self._before()}\n{text}"],
                cwd=self.work,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._background.append(process)
        # An ellipsis line at the end lets it print more than is shown by the time we look.
        shown = (*command.shown, "…") if any(command.shown) else ()
        deadline = time.monotonic() + COMMAND_SECONDS_MAX
        while not output_matches(shown, printed := output.read_text()):
            if process.poll() is not None:
                raise CommandError(report(command, f"ended with {process.returncode}", printed))
            if time.monotonic() > deadline:
                raise CommandError(report(command, "never printed what is shown", printed))
            time.sleep(POLL_SECONDS)  # it is another process: there is nothing else to wait on

    def _before(self) -> str:
        """Shell text that restores what the commands before left behind."""
        return f'. {shlex.quote(str(self._state))}\ncd "$PWD" || exit'

    def _after(self) -> str:
        """Shell text that keeps variables and folder for the next command, and the exit status."""
        return f"_status=$?; export -p >{shlex.quote(str(self._state))}; exit $_status"


def link_programs(folder: Path) -> None:
    """Make a PATH of python3, sh and coreutils, and nothing more."""
    folder.mkdir()
    # The interpreter itself: a `python3` on the PATH may be a script that needs more of the PATH.
    (folder / "python3").symlink_to(Path(sys.executable).resolve())
    for name in ("sh", *COREUTILS.split()):
        program = shutil.which(name)
        if program is not None:
            (folder / name).symlink_to(program)


def link_checkout(checkout: Path, work: Path) -> None:
    """Lay out a folder with the checkout's files as links, so that commands leave nothing in it."""
    work.mkdir()
    for path in checkout.iterdir():
        if not path.name.startswith(".") and path.name not in {"dev", "meshtrail-data"}:
            (work / path.name).symlink_to(path)
    # A link to ./dev would take this folder for the checkout and set up an environment for it.
    dev = work / "dev"
    dev.write_text(f'#!/bin/sh\nexec {shlex.quote(str(checkout / "dev"))} "$@"\n', encoding="utf-8")
    dev.chmod(0o755)


def report(command: Command, what: str, printed: str) -> str:
    """What a person needs in order to mend the document or the code."""
    shown = "\n".join(command.shown)
    return (
        f"line {command.line}: $ {command.text}\n{what}\n"
        f"-- shown --\n{shown}\n-- printed --\n{printed}"
    )
