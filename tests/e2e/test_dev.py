"""./dev makes its environment once, safely, and says what to do where it cannot.

The checkouts here have an empty lock, so making an environment takes a second and no network.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SETTING_UP = "dev: setting up"
PRINTS_ITS_CALL = "import os, sys\nprint(os.getcwd(), *sys.argv[1:])\n"


class Checkout:
    """A checkout with a product of one line and a lock of none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in ("tools", "requirements", "src/meshtrail"):
            (folder / path).mkdir(parents=True)
        for path in ("dev", "tools/environment.py"):
            shutil.copy(ROOT / path, folder / path)
        for level in ("run", "demo", "test", "check"):
            (folder / "requirements" / f"{level}.txt").write_text("# nothing\n")
        (folder / "src/meshtrail/__main__.py").write_text(PRINTS_ITS_CALL)

    def start(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> subprocess.Popen[str]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return subprocess.Popen(
            [str(self.folder / "dev"), *arguments],
            cwd=cwd or self.folder,
            env={**inherited, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str, cwd: Path | None = None, **variables: str
    ) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        with self.start(*arguments, cwd=cwd, **variables) as process:
            output, errors = process.communicate(timeout=60)
            return process.returncode, output, errors


@pytest.fixture
def bare(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("made") / "checkout")
    status, _, errors = checkout.run("python", "-c", "")
    assert status == 0, errors
    return checkout


def test_first_use_sets_up_and_the_second_is_silent(bare: Checkout) -> None:
    status, output, errors = bare.run("meshtrail", "status")
    assert (status, output) == (0, f"{bare.folder} status\n")
    assert errors.startswith(SETTING_UP)
    assert bare.run("meshtrail", "status") == (0, f"{bare.folder} status\n", "")


def test_command_line_runs_in_the_folder_it_was_called_from(made: Checkout, tmp_path: Path) -> None:
    assert made.run("meshtrail", "a  b", cwd=tmp_path) == (0, f"{tmp_path} a  b\n", "")


def test_two_first_uses_at_once_make_one_environment(bare: Checkout) -> None:
    with bare.start("meshtrail") as one, bare.start("meshtrail") as other:
        said = one.communicate(timeout=60)[1] + other.communicate(timeout=60)[1]
    assert (one.returncode, other.returncode) == (0, 0)
    assert said.count(SETTING_UP) == 1


def test_environment_is_made_again_after_the_lock_changed(bare: Checkout) -> None:
    bare.run("python", "-c", "")
    stale = next((bare.folder / ".venv" / "lib").glob("python3*/site-packages")) / "stale.py"
    stale.touch()
    for level in ("run", "demo", "test"):
        (bare.folder / "requirements" / f"{level}.txt").write_text("# nothing else\n")
    status, _, errors = bare.run("python", "-c", "")
    assert status == 0
    assert errors.startswith(SETTING_UP)
    assert not stale.exists()


def test_environment_of_a_smaller_level_is_extended_in_place(bare: Checkout) -> None:
    bare.run("meshtrail")
    kept = bare.folder / ".venv" / "kept"
    kept.touch()
    assert bare.run("python", "-c", "")[0] == 0
    assert kept.exists()
    assert not (bare.folder / ".venv" / "ready-check").exists()


def test_setting_up_goes_on_where_a_run_was_stopped(bare: Checkout) -> None:
    bare.run("meshtrail")
    # What a kill in the middle leaves: an environment that nothing declares ready.
    (bare.folder / ".venv" / "ready-run").unlink()
    (bare.folder / ".venv" / "bin" / "python").unlink()
    status, _, errors = bare.run("meshtrail")
    assert status == 0
    assert errors.startswith(SETTING_UP)


def test_environment_of_a_checkout_that_has_moved_is_made_again(bare: Checkout) -> None:
    bare.run("meshtrail")
    bare.folder = bare.folder.rename(bare.folder.with_name("moved"))
    status, output, errors = bare.run("meshtrail")
    assert (status, output) == (0, f"{bare.folder}\n")
    assert errors.startswith(SETTING_UP)


def test_folder_with_other_contents_is_refused_and_left_alone(bare: Checkout) -> None:
    thesis = bare.folder / "elsewhere" / "thesis.txt"
    thesis.parent.mkdir()
    thesis.touch()
    status, _, errors = bare.run("meshtrail", MESHTRAIL_ENV="elsewhere")
    assert status != 0
    assert "in use for something else" in errors
    assert thesis.exists()


def test_the_environment_of_another_checkout_is_left_alone(bare: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other")
    environment = other.folder / ".venv"
    marker = f"1 0 python3 {other.folder}\n"
    environment.mkdir()
    (environment / "pyvenv.cfg").touch()
    (environment / "ready-run").write_text(marker)
    status, _, errors = bare.run("meshtrail", MESHTRAIL_ENV=str(environment))
    assert status != 0
    assert f"is the environment of the checkout in {other.folder}" in errors
    assert (environment / "ready-run").read_text() == marker


def test_python_that_is_too_old_is_named(bare: Checkout, tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\ncase "$2" in *print*) echo 3.9 ;; *) exit 1 ;; esac\n')
    old.chmod(0o755)
    status, _, errors = bare.run("meshtrail", MESHTRAIL_PYTHON=str(old))
    assert status == 78
    assert f"Found: {old}, which is 3.9" in errors
    assert "MESHTRAIL_PYTHON=" in errors


def test_package_that_cannot_be_had_is_an_error_that_a_person_can_act_on(bare: Checkout) -> None:
    pin = f"meshtrail-absent==1.0 --hash=sha256:{'0' * 64}\n"
    (bare.folder / "requirements" / "run.txt").write_text(pin)
    status, output, errors = bare.run("meshtrail", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    assert (status, output) == (69, "")
    assert "found no wheel" in errors
    assert "MESHTRAIL_PYTHON=" in errors
    assert "Traceback" not in errors


def test_unknown_command_and_benchmark_are_refused(made: Checkout) -> None:
    for arguments in (("tset",), ("bench", "nothing"), ("check", "src")):
        status, _, errors = made.run(*arguments)
        assert status == 64
        assert errors.startswith("dev: ")


def test_help_describes_every_command(made: Checkout) -> None:
    script = (ROOT / "dev").read_text()
    commands = re.findall(r"^    ([a-z]+)(?: \|[^)]*)?\)$", script, re.MULTILINE)
    _, output, _ = made.run("help")
    assert {"meshtrail", "test", "check"} <= set(commands)
    assert not [command for command in commands if f"./dev {command}" not in output]
