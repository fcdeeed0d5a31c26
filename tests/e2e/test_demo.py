"""`meshtrail demo` as a reader runs it: every claim holds, or its status says so; nothing stays."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.rig.recorder import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN_S_MAX = 180.0
STOP_S_MAX = 60.0
STEPS = (
    "What is recorded?",
    "Who was turned away?",
    "What else came from there?",
    "Whose certificate is used from where?",
    "What was read?",
    "And what does an honest request look like?",
    "Who answers for it?",
    "And for what went through?",
    "And what is not in the log?",
    "Did anybody have to look for the stolen certificate?",
    "What is the record made of?",
    "Is this the record as it was signed?",
    "What if an insider edits it?",
    "Can you prove it to somebody who trusts nobody here?",
)
LYING_PYTHON = """\
#!/bin/sh
case "$*" in
    *check.py*) echo 'PROVEN: 0 entries' ;;
    *) exec {python} "$@" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A demo that has ended.

    Attributes:
        directory: of the demo.
        home: of the user who ran it.
    """

    directory: Path
    home: Path
    exit_status: int
    text: str


def start_demo(folder: Path, *options: str, path: str | None = None) -> subprocess.Popen[str]:
    """Start a demo in ``folder/demo`` for a user whose home is ``folder/home``."""
    (folder / "home").mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "meshtrail", "demo", "--dir", str(folder / "demo"), *options],
        env={
            "PATH": path or os.environ["PATH"],
            "HOME": str(folder / "home"),
            "PYTHONPATH": str(ROOT / "src"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextlib.contextmanager
def running_demo(
    folder: Path, *options: str, path: str | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A demo that is asked to end with the block, should it still run."""
    with start_demo(folder, *options, path=path) as process:
        try:
            yield process
        finally:
            process.terminate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """What a demo says up to the line with these words."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if words in line:
            return text
    pytest.fail(f"the demo ended before it said {words!r}:\n{text}")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("told")
    with running_demo(folder) as process:
        text, _ = process.communicate(timeout=RUN_S_MAX)
    return Told(folder / "demo", folder / "home", process.returncode, text)


def processes_of(directory: Path) -> dict[int, str]:
    """Command lines that name the directory, by process id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if str(directory) in line:
                    found[int(entry.name)] = line
    return found


def do_as_a_reader(text: str, command: str) -> str:
    """What a command prints in a new shell after the two lines that the demo says to type."""
    setting = re.findall(r"^  ((?:cd|export) .*)$", text, re.MULTILINE)
    assert len(setting) == 2
    script = "\n".join([*setting, command])
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def ask_http(text: str, path: str) -> int:
    """The status of a GET at the address that a kept demo names."""
    [address] = re.findall(r"^• meshtrail answers at (http://\S+) too$", text, re.MULTILINE)
    with urllib.request.urlopen(f"{address}{path}", timeout=30) as answer:  # noqa: S310 - http, see above
        return int(answer.status)


@pytest.mark.slow
def test_demo_ends_by_itself_and_every_claim_of_every_step_holds(told: Told) -> None:
    assert told.exit_status == 0, told.text
    assert re.findall(r"^\d+\. (.*)$", told.text, re.MULTILINE) == [*STEPS]
    assert re.search(r"^14 steps, all \d+ claims held \(\d+ s\)$", told.text, re.MULTILINE)
    assert "✗" not in told.text


@pytest.mark.slow
def test_demo_is_plain_text_where_no_terminal_is(told: Told) -> None:
    assert "\x1b" not in told.text
    assert "\r" not in told.text


@pytest.mark.slow
def test_demo_leaves_no_process_and_no_listener(told: Told) -> None:
    assert processes_of(told.directory) == {}
    for ip in set(re.findall(r"127\.0\.\d+\.1[1-6]\b", told.text)):
        with socket.socket() as probe:
            # Connections that ended a moment ago may linger; a listener would still be in the way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((ip, 15_006))


@pytest.mark.slow
def test_demo_keeps_its_keys_and_pins_to_itself(told: Told) -> None:
    assert [*told.home.iterdir()] == []
    assert (told.directory / "home" / "pins").is_file()
    [key] = (told.directory / "home" / "keys").iterdir()
    assert key.suffix == ".key"


@pytest.mark.slow
def test_reader_goes_on_alone_after_the_end(told: Told) -> None:
    query = "kind:request AND path:/customers/export"
    printed = do_as_a_reader(told.text, f"meshtrail search '{query}' --json")
    # Denied, as both ends tell; read, as one does; what was read in silence is not among them.
    assert len(printed.splitlines()) == 3
    assert "nothing was changed" in do_as_a_reader(told.text, "meshtrail verify --deep")


@pytest.mark.slow
def test_demo_that_is_kept_runs_on_and_a_claim_that_failed_is_its_status(tmp_path: Path) -> None:
    liar = tmp_path / "bin" / "python3"
    liar.parent.mkdir()
    liar.write_text(LYING_PYTHON.format(python=shutil.which("python3")))
    liar.chmod(0o755)
    path = f"{liar.parent}:{os.environ['PATH']}"
    with running_demo(tmp_path, "--keep", path=path) as process:
        text = read_until(process, "Ctrl-C ends it")
        assert "sealer     running" in do_as_a_reader(text, "meshtrail status")
        assert ask_http(text, "/healthz") == 200
        recent = "meshtrail search 'path:/shop/* AND received:>=-10s' --json"
        wait_until(
            lambda: bool(do_as_a_reader(text, recent)), "customers come on", seconds_max=30.0
        )
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S_MAX)
    assert process.returncode == 1
    assert "✗ plain Python says PROVEN of all 5" in text
    assert "  seen      'PROVEN: 0 entries'" in text
    assert re.search(r"^14 steps, 1 of \d+ claims did not hold", text, re.MULTILINE)
    assert processes_of(tmp_path) == {}


@pytest.mark.parametrize("words", ["starting meshtrail", "every service is up"])
def test_interrupted_demo_leaves_no_process(tmp_path: Path, words: str) -> None:
    with running_demo(tmp_path) as process:
        read_until(process, words)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=STOP_S_MAX)
    assert process.returncode == 130
    assert processes_of(tmp_path) == {}
