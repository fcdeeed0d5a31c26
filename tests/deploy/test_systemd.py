"""The unit is one that systemd takes, agrees with the code, and lets `meshtrail up` do its work."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.app import up
from meshtrail.cli import exit_codes
from meshtrail.cli.up import make_up_parser
from meshtrail.config import make_configuration, read_tables
from meshtrail.demo.authority import Authority
from tests.deploy.sandbox import LIBSECCOMP, system_calls
from tests.deploy.unit_file import read_unit
from tests.e2e import wired_proxy as wired
from tests.rig.envoy import Envoy
from tests.rig.recorder import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "meshtrail.service"
EXPOSURE_MAX = 15
"""Of 100; an unprotected service has 96."""
SEAL_S_MAX = 60.0
STOP_S_MAX = 60.0
REQUESTS_COUNT = 20

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def run_analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def unit() -> dict[str, list[str]]:
    return read_unit(UNIT)


@needs_systemd
def test_systemd_finds_nothing_to_complain_of(tmp_path: Path) -> None:
    # The program need not be installed here for the rest to be checked.
    text = UNIT.read_text(encoding="utf-8").replace("/opt/meshtrail/bin/meshtrail", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(text, encoding="utf-8")
    done = run_analyze("verify", "--recursive-errors=no", str(copy))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_exposure_stays_as_low_as_it_was_made() -> None:
    arguments = ("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(UNIT))
    done = run_analyze(*arguments)
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_filter_lets_landlock_through_and_keeps_io_uring_out(unit: dict[str, list[str]]) -> None:
    calls = system_calls(unit["SystemCallFilter"])
    assert {"landlock_create_ruleset", "landlock_restrict_self", "memfd_create"} <= calls
    assert not calls & {"io_uring_setup", "mount", "ptrace", "bpf", "chown", "kexec_load"}


def test_supervisor_has_time_to_stop_its_processes_in_order(unit: dict[str, list[str]]) -> None:
    needed = (
        up.COLLECT_STOP_SECONDS_MAX
        + up.LEDGER_STOP_SECONDS_MAX
        + up.SEAL_STOP_SECONDS_MAX
        + up.SERVE_STOP_SECONDS_MAX
    )
    assert int(unit["TimeoutStopSec"][0]) > needed
    # To the supervisor alone, who keeps to the order.
    assert unit["KillMode"] == ["mixed"]


def test_what_no_restart_makes_better_is_not_restarted(unit: dict[str, list[str]]) -> None:
    assert unit["Restart"] == ["on-failure"]
    assert {int(code) for code in unit["RestartPreventExitStatus"][0].split()} == {
        exit_codes.USAGE,
        exit_codes.TAMPERED,
        exit_codes.BAD_INPUT,
        exit_codes.NOT_BUILT,
        exit_codes.CONFIG,
    }
    # Durability, a busy directory and our own mistakes are: the next start recovers.
    assert unit["StartLimitIntervalSec"] == ["0"]


def test_arguments_are_those_that_the_program_takes(unit: dict[str, list[str]]) -> None:
    program, command, *arguments = shlex.split(unit["ExecStart"][0])
    assert (Path(program).name, command) == ("meshtrail", "up")
    parsed = make_up_parser().parse_args(arguments)
    assert str(parsed.key) == "%d/log.key"
    assert unit["LoadCredential"] == [f"log.key:{parsed.config.parent}/log.key"]


def test_data_and_home_are_state_directories_and_the_key_lies_in_neither(
    unit: dict[str, list[str]],
) -> None:
    environment = dict(one.split("=") for one in unit["Environment"][0].split())
    folders = {f"/var/lib/{name}" for name in unit["StateDirectory"][0].split()}
    assert set(environment) == {"MESHTRAIL_DATA", "MESHTRAIL_HOME"}
    assert set(environment.values()) == folders


def test_shipped_options_are_options_and_may_be_written_to(unit: dict[str, list[str]]) -> None:
    tables = read_tables(FOLDER / "meshtrail.toml")
    configuration = make_configuration(tables, overrides={}, folder=Path("/etc/meshtrail"))
    assert configuration.collect.is_mtls
    lock_record = configuration.seal.lock_record
    assert lock_record is not None
    assert unit["ReadWritePaths"] == [f"-{lock_record.parent}"]


def test_user_of_the_unit_is_the_one_that_is_made(unit: dict[str, list[str]]) -> None:
    lines = (FOLDER / "meshtrail.sysusers.conf").read_text(encoding="utf-8").split("\n")
    [made] = [line.split() for line in lines if line and not line.startswith("#")]
    assert made[:2] == ["u", unit["User"][0]]
    assert unit["Group"] == unit["User"]


def why_no_sandbox() -> str:
    """Why the restrictions cannot be enforced here; empty where they can."""
    if os.geteuid() != 0:
        return "mount namespaces need root"
    if shutil.which("systemd-analyze") is None:
        return "systemd-analyze, which knows the groups of system calls, is not installed"
    if subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
        return "this container may not make mount namespaces"
    try:
        ctypes.CDLL(LIBSECCOMP)
    except OSError:
        return f"{LIBSECCOMP} is not installed"
    return ""


@pytest.fixture
def sandbox(tmp_path: Path) -> list[str]:
    if reason := why_no_sandbox():
        pytest.skip(reason)
    return [sys.executable, "-m", "tests.deploy.sandbox", str(UNIT), str(tmp_path)]


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MESHTRAIL_HOME": str(tmp_path / "home"),
        "MESHTRAIL_DATA": str(tmp_path / "data"),
    }


FORBIDDEN = """
import mmap, os, socket, sys
from meshtrail.search.confine import deny_writes

def refuses(action):
    try:
        action()
    except OSError:
        return True
    return False

assert refuses(lambda: open("/var/tmp/outside", "w"))
assert refuses(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW))
assert refuses(lambda: os.chown(sys.argv[1], 1, 1))
assert refuses(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC))
open(sys.argv[1] + "/inside", "w").close()
assert deny_writes()
assert refuses(lambda: open(sys.argv[1] + "/after", "w"))
"""


def test_unit_forbids_what_it_says_and_landlock_still_works(
    sandbox: list[str], tmp_path: Path
) -> None:
    command = [*sandbox, sys.executable, "-c", FORBIDDEN, str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def service(sandbox: list[str], tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The unit's command with its shipped options, under its restrictions; and what it said."""
    authority = Authority(tmp_path / "certificates")
    identity = authority.issue("ns/meshtrail/sa/meshtrail", is_named_localhost=True)
    options = (FOLDER / "meshtrail.toml").read_text(encoding="utf-8")
    for shipped, here in (
        ("[::]:4317", f"127.0.0.1:{free_port()}"),
        ("127.0.0.1:4318", "127.0.0.1:0"),
        ("127.0.0.1:8710", "127.0.0.1:0"),
        ("/etc/meshtrail/grpc/tls.crt", str(identity.chain)),
        ("/etc/meshtrail/grpc/tls.key", str(identity.key)),
        ("/etc/meshtrail/grpc/ca.crt", str(authority.bundle)),
        ("/var/lib/meshtrail-lock/heads", str(tmp_path / "lock-record")),
    ):
        assert shipped in options
        options = options.replace(shipped, here)
    (tmp_path / "meshtrail.toml").write_text(options, encoding="utf-8")
    key = tmp_path / "log.key"
    run = [sys.executable, "-m", "meshtrail"]
    make = [*run, "keys", "make", "prod/eu-1/1f2e3d4c", "--out", str(key)]
    subprocess.run(make, env=environment(tmp_path), check=True, capture_output=True)
    key.chmod(0o400)  # as systemd hands it over
    [line] = read_unit(UNIT)["ExecStart"]
    line = line.replace("/etc/meshtrail/meshtrail.toml", str(tmp_path / "meshtrail.toml"))
    arguments = shlex.split(line.replace("%d/log.key", str(key)))[1:]
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [*sandbox, *run, *arguments, "--json"],
            cwd=ROOT,
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, (tmp_path / "err").read_text(encoding="utf-8")
        yield process, json.loads(said)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_service_records_restarts_its_processes_and_stops_under_its_restrictions(
    service: tuple[subprocess.Popen[str], Any], tmp_path: Path
) -> None:
    process, ready = service
    assert ready["mtls"]
    pieces = emitted(ready["grpc"], tmp_path)
    manager = wired.http_manager(
        added=pieces["http_connection_manager"], routes=[wired.answer("/", 200)], policies=False
    )
    config = wired.bootstrap(
        listeners=[wired.listener("http", [manager], added=pieces["listener"])],
        clusters=pieces["clusters"],
    )
    with Envoy("proxy", config, directory=tmp_path) as envoy:
        port = envoy.ports()["http"]
        send(port)
        wait_until(
            lambda: requests_found(ready["http"]) >= REQUESTS_COUNT,
            "requests are sealed and found, in a process that may not write",
            seconds_max=SEAL_S_MAX,
        )
        for name in ("collect", "seal"):
            os.kill(ready["pids"][name], signal.SIGKILL)
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["process"] == name
        before = requests_found(ready["http"])
        wait_until(
            lambda: send(port) and requests_found(ready["http"]) > before,
            "requests are sealed again",
            seconds_max=SEAL_S_MAX,
        )
    process.send_signal(signal.SIGTERM)
    assert process.wait(STOP_S_MAX) == exit_codes.OK
    assert (tmp_path / "lock-record").read_bytes()


def emitted(address: str, tmp_path: Path) -> dict[str, Any]:
    """The pieces for a proxy that has the collector's own certificate; it is of the same mesh."""
    certificates = tmp_path / "certificates"
    [chain] = [path for path in certificates.glob("*.pem") if path.name != "ca.pem"]
    files = ["--cert", str(chain), "--key", str(chain.with_suffix(".key"))]
    [pieces] = wired.emit(
        "envoy", "--address", address, *files, "--ca", str(certificates / "ca.pem")
    )
    return pieces


def send(port: int) -> bool:
    return all(wired.get_plain(port, f"/{i}") == 200 for i in range(REQUESTS_COUNT))


def requests_found(address: str) -> int:
    """How many requests a search over HTTP finds."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=SEAL_S_MAX)
    try:
        connection.request("GET", "/api/search?q=kind:request&limit=1000")
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    assert response.status == 200, body
    return body.count(b'"log_index"')
