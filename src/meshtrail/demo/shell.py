"""Runs the tour's commands exactly as they are printed: by ``sh``, in the demo's directory.

On a terminal a command gets a terminal too, or its table would not fit the width.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.demo.narration import INDENT
from meshtrail.demo.recorder import make_environment, meshtrail_command
from meshtrail.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COMMAND_S_MAX: Final = 100.0
_READ_BYTES: Final = 65_536
_LINES: Final = 50


@dataclass(frozen=True, slots=True)
class Output:
    """How a command ended, and what it printed.

    Attributes:
        text: of both standard output and standard error, in the order of writing.
    """

    text: str
    exit_status: int


class Shell:
    """The surroundings of the tour's commands."""

    def __init__(self, directory: Path, *, is_terminal: bool) -> None:
        """Put a ``meshtrail`` into the demo's directory that is the one which runs now.

        Args:
            directory: of the demo.
            is_terminal: whether what is shown goes to a terminal.
        """
        self._directory = directory
        self._is_terminal = is_terminal
        self._environment = make_environment(directory)
        self._install_meshtrail()

    def setting_lines(self) -> list[str]:
        """What a reader types once, for the commands to mean the same in their own shell."""
        variables = 'MESHTRAIL_DATA="$PWD/data" MESHTRAIL_HOME="$PWD/home" PATH="$PWD/bin:$PATH"'
        return [f"cd {quote(str(self._directory))}", f"export {variables}"]

    def run(self, command: str) -> Output:
        """Run a command to be shown."""
        return self._run_on_terminal(command) if self._is_terminal else self._run(command)

    def ask(self, command: str) -> Output:
        """Run a command for what it prints on standard output alone."""
        return self._run(command, stderr=subprocess.DEVNULL)

    def _run(self, command: str, *, stderr: int = subprocess.STDOUT) -> Output:
        try:
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=self._directory,
                # Unbuffered, or standard error would come before what was printed before it.
                env={**self._environment, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                timeout=COMMAND_S_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UnavailableError(f"{command!r} took over {COMMAND_S_MAX:g} s") from error
        return Output(done.stdout.decode(errors="replace"), done.returncode)

    def _run_on_terminal(self, command: str) -> Output:
        ours, theirs = os.openpty()
        try:
            columns = shutil.get_terminal_size().columns - len(INDENT)
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
            process = subprocess.Popen(
                ["sh", "-c", command],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=theirs,
                stderr=theirs,
            )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        try:
            text = _read_all(ours, command).decode(errors="replace").replace("\r\n", "\n")
            return Output(text, process.wait())
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def _install_meshtrail(self) -> None:
        folder = self._directory / "bin"
        folder.mkdir()
        script = folder / "meshtrail"
        path, words = self._environment["PYTHONPATH"], meshtrail_command()
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH={quote(path)} exec {quote_all(words)} "$@"\n', encoding="utf-8"
        )
        script.chmod(0o755)
        self._environment["PATH"] = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"


def find_python() -> str:
    """The plain Python of this machine, as a reader would call it."""
    return "python3" if shutil.which("python3") else sys.executable


def quote_all(words: Sequence[str]) -> str:
    """Words as one line for ``sh``."""
    return " ".join(quote(word) for word in words)


def quote(word: str) -> str:
    """One word for ``sh``, with as few marks as it needs."""
    if word and all(one.isalnum() or one in "-_./=:,@%+" for one in word) and word.isascii():
        return word
    if "'" not in word:
        return f"'{word}'"
    if not set('"$`\\!').intersection(word):
        return f'"{word}"'
    return "'" + word.replace("'", "'\"'\"'") + "'"


def _read_all(descriptor: int, command: str) -> bytes:
    """Everything that a terminal is written until nobody has it open any more."""
    data = bytearray()
    deadline = time.monotonic() + COMMAND_S_MAX
    while True:
        if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0.0))[0]:
            raise UnavailableError(f"{command!r} took over {COMMAND_S_MAX:g} s")
        try:
            chunk = os.read(descriptor, _READ_BYTES)
        except OSError as error:
            if error.errno == errno.EIO:  # how Linux says that the other side is closed
                return bytes(data)
            raise
        if not chunk:
            return bytes(data)
        data += chunk
