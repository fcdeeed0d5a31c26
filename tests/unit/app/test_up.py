from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from meshtrail.app.keys import write_key_file
from meshtrail.cli import exit_codes
from meshtrail.note import format_fingerprint, generate_signer, parse_vkey
from meshtrail.sources.otlp_frame import Signal
from tests.otlp_messages import json_export
from tests.unit.app.running import FREE_PORTS, Up, environment, run, running, send


def requests(up: Up) -> list[str]:
    return [row["url_path"] for row in up.search("kind:request")]


def test_what_is_sent_is_found_and_verified_after_an_orderly_stop(tmp_path: Path) -> None:
    paths = [f"/{number}" for number in range(20)]
    with running(tmp_path, "--mesh", "prod", "--cluster", "eu-1") as up:
        ready = up.lines[0]
        send(up.address, paths)
        assert up.stop() == exit_codes.OK
    # All that was journaled is sealed before the end, in the order in which it came.
    assert requests(up) == list(reversed(paths))
    assert ready["origin"].startswith("prod/eu-1/")
    assert ready["mtls"] is False
    assert ready["fingerprint"] == format_fingerprint(parse_vkey(ready["vkey"]))
    assert ready["data"] == str(tmp_path / "data")
    assert Path(ready["key_file"]).parent == tmp_path / "home" / "keys"
    verified = run(tmp_path, "verify", "--require-pin", "--deep", "--json")
    assert verified.returncode == exit_codes.OK, verified.stderr
    assert json.loads(verified.stdout)["pinned"] is True


def test_a_spoiled_inventory_is_an_alarm_and_keeps_nobody_from_recording(tmp_path: Path) -> None:
    config, errors = tmp_path / "meshtrail.toml", tmp_path / "errors"
    config.write_text('[ledger]\ninventory = "inventory.json"\n')
    (tmp_path / "inventory.json").write_text("{")
    with (
        errors.open("w") as stderr,
        running(tmp_path, "--config", str(config), stderr=stderr) as up,
    ):
        send(up.address, ["/one"])
        assert up.stop() == exit_codes.OK
    assert requests(up) == ["/one"]
    lines = [json.loads(line) for line in errors.read_text().splitlines()]
    (alarm,) = (line for line in lines if line["event"] == "inventory_refused")
    assert alarm["reason"].startswith(f"ledger.inventory: {tmp_path / 'inventory.json'} is no")


def test_status_says_whether_it_runs(tmp_path: Path) -> None:
    def sealer() -> object:
        return json.loads(run(tmp_path, "status", "--json").stdout)["sealer"]

    with running(tmp_path) as up:
        assert sealer() == "running"
        assert up.stop() == exit_codes.OK
    assert sealer() == "not running"


def test_each_process_can_be_killed_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    sent: list[str] = []
    with running(tmp_path) as up:
        for turn, name in enumerate(["seal", "ledger", "serve", "collect"]):
            paths = [f"/{turn}/{number}" for number in range(5)]
            send(up.address, paths)
            sent += paths
            if name == "collect":
                # The end of a stream does not say that it is on disk; that it is sealed does.
                up.wait_for(len(sent), "kind:request")
            os.kill(up.pids[name], signal.SIGKILL)
            restarted = up.read()
            assert (restarted["process"], restarted["exit"]) == (name, -signal.SIGKILL)
        up.wait_for(len(sent), "kind:request")
        assert up.stop() == exit_codes.OK
    assert sorted(requests(up)) == sorted(sent)
    assert run(tmp_path, "verify").returncode == exit_codes.OK


def test_a_killed_supervisor_takes_its_processes_along_and_the_next_start_goes_on(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as up:
        send(up.address, ["/first"])
        up.process.kill()
        up.process.wait()
        origin = up.lines[0]["origin"]
    with running(tmp_path) as up:
        assert up.lines[0]["origin"] == origin
        send(up.address, ["/second"])
        assert up.stop() == exit_codes.OK
    assert requests(up) == ["/second", "/first"]


def test_a_second_up_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        second = run(tmp_path, "up", *FREE_PORTS, "--json")
        assert second.returncode == exit_codes.UNAVAILABLE
        assert json.loads(second.stderr.splitlines()[-1])["error"] == "WriterHeldError"
        # What the first one tells of itself is still its own.
        told = json.loads((tmp_path / "data" / "run" / "up.json").read_text())
        assert told["pid"] == up.process.pid
        send(up.address, ["/still-recording"])
        assert up.stop() == exit_codes.OK
    assert requests(up) == ["/still-recording"]


def test_the_port_can_be_taken_by_somebody_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for doors in (
            ("--grpc", address),
            ("--otlp-http", address),
            ("--http", address),
        ):
            done = run(tmp_path, "up", *FREE_PORTS, *doors, "--json")
            assert done.returncode == exit_codes.CONFIG
            assert address in json.loads(done.stderr.splitlines()[-1])["message"]


def refused(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit status and last line on standard error of an `up` that does not start."""
    done = run(folder, "up", *FREE_PORTS, *arguments)
    return done.returncode, done.stderr.splitlines()[-1]


def test_a_configuration_that_makes_no_sense_is_refused_before_anything_is_made(
    tmp_path: Path,
) -> None:
    config = tmp_path / "meshtrail.toml"
    config.write_text("[seal]\ntick_mss = 5\n")
    status, said = refused(tmp_path, "--config", str(config))
    assert status == exit_codes.CONFIG
    assert said == "meshtrail: there is no option seal.tick_mss: did you mean tick_ms?"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["meshtrail.toml"]
    assert refused(tmp_path, "--tick-ms", "5000")[0] == exit_codes.CONFIG
    for door in ("grpc", "http", "otlp_http"):
        status, said = refused(tmp_path, f"--{door.replace('_', '-')}", "0.0.0.0:0")
        assert status == exit_codes.CONFIG
        assert said.startswith(f"meshtrail: {door} 0.0.0.0:0 is not a loopback address")
    status, said = refused(tmp_path, "--tokens", str(tmp_path / "data" / "senders"))
    assert status == exit_codes.CONFIG
    assert "lies in the data directory" in said
    assert refused(tmp_path, "--xfcc-from", "anybody")[0] == exit_codes.CONFIG
    assert not (tmp_path / "data").exists()


def test_a_key_that_others_may_read_or_of_another_log_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        assert up.stop() == exit_codes.OK
    key_file = Path(up.lines[0]["key_file"])
    key_file.chmod(0o644)
    status, said = refused(tmp_path)
    assert (status, "chmod 600" in said) == (exit_codes.CONFIG, True)
    other = tmp_path / "other.key"
    write_key_file(other, generate_signer(up.lines[0]["origin"]))
    status, said = refused(tmp_path, "--key", str(other))
    assert (status, "is the key of" in said) == (exit_codes.CONFIG, True)


def test_a_directory_that_was_rolled_back_stops_up_with_status_3(tmp_path: Path) -> None:
    lock_record = tmp_path / "elsewhere" / "heads"
    lock_record.parent.mkdir()
    with running(tmp_path, "--lock-record", str(lock_record)) as up:
        send(up.address, ["/1"])
        assert up.stop() == exit_codes.OK
    before = tmp_path / "before"
    subprocess.run(["cp", "-a", tmp_path / "data", before], check=True)
    with running(tmp_path, "--lock-record", str(lock_record)) as up:
        send(up.address, ["/2"])
        assert up.stop() == exit_codes.OK
    (tmp_path / "data").rename(tmp_path / "after")
    before.rename(tmp_path / "data")
    status, said = refused(tmp_path, "--lock-record", str(lock_record))
    assert status == exit_codes.TAMPERED
    assert said.startswith("meshtrail: ")


def test_without_json_the_ready_lines_are_for_people(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "meshtrail", "up", *FREE_PORTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment(tmp_path),
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(9)]
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == exit_codes.OK
    assert lines[0].startswith("meshtrail is recording mesh/local/")
    assert lines[1].endswith(" (plaintext, loopback only): Envoy access logs, OTLP\n")
    assert lines[2].startswith("  otlp http    127.0.0.1:")
    assert lines[2].endswith(" (plaintext, loopback only): OTLP, records\n")
    assert lines[3].startswith("  http         http://127.0.0.1:")
    assert "not built" in lines[8]


def test_without_http_there_is_no_process_and_no_address_for_it(tmp_path: Path) -> None:
    with running(tmp_path, "--http", "off") as up:
        assert up.lines[0]["http"] is None
        assert sorted(up.pids) == ["collect", "ledger", "seal"]
        send(up.address, ["/1"])
        assert up.stop() == exit_codes.OK
    assert requests(up) == ["/1"]


def post(address: str, text: str) -> int:
    """Send an export of one record; returns the status of the answer."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/logs", json_export(Signal.LOGS, text), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_otlp_is_listened_for_on_the_same_port_after_a_restart_of_collect(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        assert post(up.otlp_http, "before") == 200
        os.kill(up.pids["collect"], signal.SIGKILL)
        assert up.read()["process"] == "collect"
        assert post(up.otlp_http, "after") == 200
        assert up.stop() == exit_codes.OK


def test_otlp_over_http_can_be_left_out(tmp_path: Path) -> None:
    with running(tmp_path, "--otlp-http", "off") as up:
        assert up.lines[0]["otlp_http"] is None
        os.kill(up.pids["collect"], signal.SIGKILL)
        assert up.read()["process"] == "collect"
        assert up.stop() == exit_codes.OK
