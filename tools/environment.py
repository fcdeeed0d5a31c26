"""Make the checkout's environment from the hash-pinned lock; ./dev calls it when none is ready.

Runs on the bare Python of the machine, so it imports nothing but the standard library. A level
counts as made once its ``ready-<level>`` file is there, which is written last: a stopped run is
simply done again. Two runs at once wait for each other.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent
LEVELS = ("run", "demo", "test", "check")
PURPOSES = {"run": "meshtrail", "demo": "the demo", "test": "the tests", "check": "the checks"}
LOCK_NAME = ".making"
PIP_LINES_SHOWN = 15
EX_UNAVAILABLE = 69


def main() -> int:
    """Make the environment named on the command line, unless another run just did."""
    parser = argparse.ArgumentParser()
    parser.add_argument("environment", type=Path)
    parser.add_argument("--level", choices=LEVELS, required=True)
    parser.add_argument("--python", required=True, help="how ./dev was told to find Python")
    options = parser.parse_args()
    options.environment.mkdir(parents=True, exist_ok=True)
    try:
        # The kernel drops this lock with the process, so a killed run leaves nothing to clean up.
        with (options.environment / LOCK_NAME).open("w") as lock:
            wait_for(lock)
            make(options.environment, level=options.level, python=options.python)
    except KeyboardInterrupt:
        say("stopped; the next ./dev goes on from here.")
        return 130
    except subprocess.CalledProcessError as error:
        explain(error)
        return EX_UNAVAILABLE
    return 0


def wait_for(lock: TextIO) -> None:
    """Hold the lock when this returns; say so if another run holds it now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another ./dev is making the environment; waiting for it …")
        fcntl.flock(lock, fcntl.LOCK_EX)


def make(environment: Path, *, level: str, python: str) -> None:
    """Install what the level needs, on top of what is already there from the same lock."""
    ready = [one for one in LEVELS if is_ready(environment, level=one, python=python)]
    if level in ready:
        return
    say(f"setting up {PURPOSES[level]} in {environment} (once) …")
    if not ready:
        clear(environment)
        create(environment)
    install(environment, ROOT / "requirements" / f"{level}.txt")
    link_source(environment)
    for one in LEVELS[: LEVELS.index(level) + 1]:
        marker = environment / f"ready-{one}"
        partial = marker.with_suffix(".partial")
        partial.write_text(stamp(level=one, python=python) + "\n", encoding="utf-8")
        partial.replace(marker)
    say("ready.")


def stamp(*, level: str, python: str) -> str:
    """What an environment was made from; ./dev forms the same line to see if it still holds."""
    lock = (ROOT / "requirements" / f"{level}.txt").read_bytes()
    checksum = subprocess.run(["cksum"], input=lock, capture_output=True, check=True).stdout
    return f"{checksum.decode().strip()} {python} {ROOT}"


def is_ready(environment: Path, *, level: str, python: str) -> bool:
    """Whether the level was made from the lock, the Python and the checkout of today."""
    marker = environment / f"ready-{level}"
    if not (marker.is_file() and os.access(environment / "bin" / "python", os.X_OK)):
        return False
    return marker.read_text(encoding="utf-8").strip() == stamp(level=level, python=python)


def clear(environment: Path) -> None:
    """Remove an environment of another lock, but never another's, or what is something else."""
    for marker in environment.glob("ready-*"):
        owner = marker.read_text(encoding="utf-8").strip().rpartition(" ")[2]
        if owner != str(ROOT) and Path(owner).is_dir():
            sys.exit(
                f"dev: {environment} is the environment of the checkout in {owner}; set "
                "MESHTRAIL_ENV to another, or remove it."
            )
    contents = [path for path in environment.iterdir() if path.name != LOCK_NAME]
    if contents and not (environment / "pyvenv.cfg").is_file():
        sys.exit(f"dev: {environment} is in use for something else; set MESHTRAIL_ENV to another.")
    # The marks of readiness go first: from here on, a stopped run must be seen as unfinished. The
    # file that says "this is an environment" goes last, or a stopped run would lock itself out.
    for path in sorted(contents, key=removal_order):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def removal_order(path: Path) -> int:
    """Marks of readiness, then everything else, then what makes the folder an environment."""
    if path.name.startswith("ready-"):
        return 0
    return 2 if path.name == "pyvenv.cfg" else 1


def create(environment: Path) -> None:
    """Create an empty environment, with a pip of its own only where this Python lacks one."""
    # The links inside lead to the real interpreter rather than to a `python3` that an upgrade of
    # the system turns into another version: then the link breaks, which ./dev notices.
    sys._base_executable = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]  # noqa: SLF001 - venv reads it, there is no option
    venv.EnvBuilder(symlinks=True).create(environment)
    if not has_pip():
        python = environment / "bin" / "python"
        run_pip([str(python), "-m", "ensurepip"])


def has_pip() -> bool:
    """Whether this Python has a pip of its own; using it saves 4 seconds over a copy of one."""
    probe = [sys.executable, "-m", "pip", "--version"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def install(environment: Path, lock: Path) -> None:
    """Install exactly the lock: wheels only, every hash checked, nothing resolved anew."""
    python = str(environment / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python] if has_pip() else [python, "-m", "pip"]
    # Compiling all 1,800 protobuf modules takes seconds, and Python compiles what it imports.
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"]
    quiet = ["--progress-bar=off", "--disable-pip-version-check"]
    run_pip([*pip, "install", *options, *quiet, "-r", str(lock)])


def run_pip(command: list[str]) -> None:
    """Run pip, showing one moving line on a terminal and nothing elsewhere.

    Raises:
        CalledProcessError: pip failed; ``output`` holds the last lines of what it said.
    """
    # A personal pip configuration may point installs elsewhere; these two would break ours.
    variables = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=variables, text=True
    )
    assert process.stdout is not None
    with process:
        last_lines = show_progress(process.stdout)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command, "\n".join(last_lines))


def show_progress(lines: Iterable[str]) -> list[str]:
    """Turn pip's lines into one moving line; return the last of them for an error message."""
    last_lines: list[str] = []
    for line in lines:
        last_lines = [*last_lines[1 - PIP_LINES_SHOWN :], line.rstrip()]
        if sys.stdout.isatty() and line.startswith(("Collecting ", "Installing ")):
            first, second, *_ = line.split()
            what = second if first == "Collecting" else "unpacking"
            sys.stdout.write(f"\r\x1b[K  {what}")
            sys.stdout.flush()
    if sys.stdout.isatty():
        sys.stdout.write("\r\x1b[K")
    return last_lines


def link_source(environment: Path) -> None:
    """Put src on the environment's path, so that edits count at once and nothing is built."""
    [packages] = (environment / "lib").glob("python3*/site-packages")
    (packages / "meshtrail-checkout.pth").write_text(f"{ROOT / 'src'}\n", encoding="utf-8")


def explain(error: subprocess.CalledProcessError) -> None:
    """Say what pip said last and what to do about it."""
    said = str(error.output or "")
    print(said)
    if "ensurepip" in error.cmd:
        say(f"{sys.executable} has no pip (Debian: apt-get install python3-pip).")
    elif "no matching distribution" in said.lower():
        version = ".".join(map(str, sys.version_info[:2]))
        say(f"pip found no wheel for Python {version} here. Does it reach its index?")
        say("If it does, another Python may do: MESHTRAIL_PYTHON=python3.12 ./dev …")
    else:
        say("pip did not finish; its last lines are above. Then run ./dev again.")


def say(message: str) -> None:
    """Print one short line in ./dev's name."""
    print(f"dev: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
