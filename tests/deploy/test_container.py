"""The image's rules, read off its file; its steps run for real, in a folder where no engine is."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from meshtrail.app import up
from meshtrail.collect import CollectOptions
from meshtrail.config.serve import ServeOptions
from tests.deploy.containerfile import read_instructions, stages
from tests.rig.recorder import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deploy.containerfile import Instruction

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "container"
FILE = FOLDER / "Containerfile"
IGNORED = FOLDER / "Containerfile.dockerignore"
PREFIX, BUILD = "/opt/meshtrail", "/build"
INSTRUCTIONS = read_instructions(FILE)
BUILD_STAGE, IMAGE = stages(INSTRUCTIONS)


def of(stage: list[Instruction], name: str) -> list[Instruction]:
    return [one for one in stage if one.name == name]


def environment_of_image() -> dict[str, str]:
    return dict(pair.split("=", 1) for one in of(IMAGE, "ENV") for pair in one.rest.split())


def test_base_is_named_by_version_and_can_be_pinned_by_digest() -> None:
    [base] = [one.rest for one in INSTRUCTIONS if one.name == "ARG"]
    name, _, image = base.partition("=")
    assert re.fullmatch(r"[a-z0-9./-]+:\d+\.\d+-slim-[a-z]+", image)
    assert {one.words[0] for one in INSTRUCTIONS if one.name == "FROM"} == {f"${{{name}}}"}


def test_image_runs_as_a_user_by_number_that_is_not_root() -> None:
    users = of(IMAGE, "USER")
    assert [one.rest for one in users] == ["10001:10001"]
    # Nothing after it needs more rights, and nothing before it starts.
    after = IMAGE[IMAGE.index(users[0]) :]
    assert not of(after, "RUN")
    assert not of(after, "COPY")


def test_everything_installed_is_held_against_the_lock() -> None:
    install = (ROOT / "deploy" / "install.sh").read_text(encoding="utf-8")
    for option in ("--require-hashes", "--no-deps", "--only-binary=:all:", "requirements/run.txt"):
        assert option in install
    downloads = re.compile(r"\b(apt-get|apk|curl|wget|git|npm)\b")
    assert not downloads.search(install)
    assert not [one for one in of(INSTRUCTIONS, "RUN") if downloads.search(one.rest)]
    assert not of(INSTRUCTIONS, "ADD")


def test_only_what_was_installed_goes_into_the_image() -> None:
    assert [one.rest for one in of(IMAGE, "COPY")] == [f"--from=build {PREFIX} {PREFIX}"]
    assert [one.rest for one in of(BUILD_STAGE, "RUN")] == [f"sh /build/deploy/install.sh {PREFIX}"]


def test_nothing_secret_is_named_in_a_layer() -> None:
    secret = re.compile(r"(?i)password|secret|token|credential|\.key\b|PRIVATE")
    assert not [one for one in INSTRUCTIONS if secret.search(one.rest)]


def test_build_sees_the_source_and_no_key_or_data() -> None:
    lines = [line for line in IGNORED.read_text(encoding="utf-8").split("\n") if line]
    patterns = [line for line in lines if not line.startswith("#")]
    assert patterns[0] == "*"
    allowed = {line.removeprefix("!") for line in patterns if line.startswith("!")}
    copied = {word for one in of(BUILD_STAGE, "COPY") for word in one.words[:-1] if word[0] != "-"}
    assert allowed == copied


def test_volumes_hold_all_that_is_written() -> None:
    environment = environment_of_image()
    [volumes] = [one.words for one in of(IMAGE, "VOLUME")]
    assert environment["MESHTRAIL_DATA"] in volumes
    assert environment["MESHTRAIL_HOME"] in volumes
    assert "/var/lib/meshtrail-lock" in volumes
    [made] = [one.rest for one in of(IMAGE, "RUN")]
    assert all(volume in made.split() for volume in volumes)


def test_image_stops_in_order_and_says_how_long_that_takes() -> None:
    assert [one.rest for one in of(IMAGE, "STOPSIGNAL")] == ["SIGTERM"]
    [seconds] = re.findall(r"--stop-timeout (\d+)", FILE.read_text(encoding="utf-8"))
    needed = (
        up.COLLECT_STOP_SECONDS_MAX
        + up.LEDGER_STOP_SECONDS_MAX
        + up.SEAL_STOP_SECONDS_MAX
        + up.SERVE_STOP_SECONDS_MAX
    )
    assert int(seconds) > needed


def test_ports_of_the_image_are_those_where_senders_are_heard() -> None:
    doors = CollectOptions()
    ports = [door.rpartition(":")[2] for door in (doors.grpc, doors.otlp_http)]
    assert [one.words for one in of(IMAGE, "EXPOSE")] == [ports]


def health_command() -> list[str]:
    [health] = of(IMAGE, "HEALTHCHECK")
    return health.words


def test_health_is_asked_where_the_door_is() -> None:
    host, _, port = ServeOptions().http.rpartition(":")
    assert f"HTTPConnection('{host}', {port}," in health_command()[-1]


def test_arguments_are_of_the_program_that_was_installed() -> None:
    [entry], [arguments] = of(IMAGE, "ENTRYPOINT"), of(IMAGE, "CMD")
    assert entry.words == [f"{PREFIX}/bin/meshtrail"]
    assert arguments.words == ["up"]
    assert health_command()[0] == f"{PREFIX}/venv/bin/python"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes, its steps run one by one below a folder instead of the root."""
    root = tmp_path_factory.mktemp("image")
    for step in BUILD_STAGE:
        rest = step.rest.replace(PREFIX, f"{root}{PREFIX}").replace(BUILD, f"{root}{BUILD}")
        if step.name == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy(ROOT / source, Path(target), is_folder=target.endswith("/"))
        elif step.name == "RUN":
            # `python3` is the one that this one's environment was made with, which has pip: the
            # base of the image has one that is as new or newer.
            path = f"{Path(sys.base_prefix, 'bin')}:{os.environ['PATH']}"
            subprocess.run(["sh", "-ec", rest], check=True, env={**os.environ, "PATH": path})
    return root


def copy(source: Path, target: Path, *, is_folder: bool) -> None:
    """What COPY does, and the ignore file keeps from it."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".mypy_cache", "__pycache__"))
        return
    (target if is_folder else target.parent).mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


@pytest.fixture
def running(installed: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The entry point with its default command, as in the image but for ports."""
    entry, default = of(IMAGE, "ENTRYPOINT")[0].words, of(IMAGE, "CMD")[0].words
    doors = [f"127.0.0.1:{free_port()}" for _ in range(3)]
    options = ["--grpc", doors[0], "--http", doors[1], "--otlp-http", doors[2], "--json"]
    data, home = tmp_path / "data", tmp_path / "home"
    process = subprocess.Popen(
        [f"{installed}{entry[0]}", *entry[1:], *default, *options],
        cwd=tmp_path,
        env={"MESHTRAIL_DATA": str(data), "MESHTRAIL_HOME": str(home), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.slow
def test_steps_install_a_recorder_that_runs_and_whose_health_is_seen(
    installed: Path, running: subprocess.Popen[str]
) -> None:
    assert running.stdout is not None
    ready = json.loads(running.stdout.readline())
    _, default_port = ServeOptions().http.split(":")
    _, port = ready["http"].split(":")

    def health() -> int:
        program, *arguments = health_command()
        here = [one.replace(default_port, port) for one in arguments]
        done = subprocess.run([f"{installed}{program}", *here], capture_output=True, check=False)
        return done.returncode

    assert health() == 0
    running.send_signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert health() != 0


@pytest.mark.slow
def test_installed_version_is_the_one_of_the_checkout(installed: Path) -> None:
    command = [f"{installed}{PREFIX}/bin/meshtrail", "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [version] = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    assert printed == f"meshtrail {version}\n"


@pytest.mark.slow
def test_everything_is_compiled_and_readable_by_everybody(installed: Path) -> None:
    source = installed / "opt/meshtrail/src/meshtrail"
    assert all(
        list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))
        for path in source.rglob("*.py")
    )
    assert all(path.stat().st_mode & 0o004 for path in (installed / "opt").rglob("*.py"))


def engine() -> str | None:
    """A container engine that answers."""
    for name in ("podman", "docker"):
        if shutil.which(name):
            done = subprocess.run([name, "info"], capture_output=True, check=False)
            if done.returncode == 0 and b"Cannot connect" not in done.stderr + done.stdout:
                return name
    return None


@pytest.mark.slow
@pytest.mark.skipif(engine() is None, reason="no container engine answers here")
def test_engine_builds_an_image_that_runs_on_a_read_only_root() -> None:
    name = engine()
    assert name is not None
    tag = "meshtrail-test:latest"
    ignore = ["--ignorefile", str(IGNORED)] if name == "podman" else []
    build = [name, "build", "-f", str(FILE), *ignore, "-t", tag, str(ROOT)]
    subprocess.run(build, check=True)
    run = [name, "run", "--rm", "--read-only", "--network", "none", tag, "--version"]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert printed.startswith("meshtrail ")


@pytest.mark.slow
def test_what_is_in_use_is_not_installed_over(installed: Path) -> None:
    script = str(ROOT / "deploy" / "install.sh")
    command = ["sh", script, f"{installed}{PREFIX}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is in use" in done.stderr
