from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from meshtrail.app.diag import configure_diag, redact_private_keys
from meshtrail.note import format_private_key, generate_signer

SECRET = format_private_key(generate_signer("mesh/one/0badcafe"))


def test_an_event_is_one_json_line_on_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    configure_diag(process="seal").info("log_opened", tree_size=7, path=Path("x"))
    captured = capfd.readouterr()
    event = json.loads(captured.err)
    assert captured.out == ""
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "log_opened", "level": "info", "path": "x", "process": "seal", "tree_size": 7,
    }  # fmt: skip


def test_on_a_terminal_an_event_is_a_readable_line(capfd: pytest.CaptureFixture[str]) -> None:
    configure_diag(process="up", is_readable=True).warning("process_died", exit=-9)
    line = capfd.readouterr().err
    assert "process_died" in line
    assert "exit=-9" in line


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        SECRET.encode(),
        f"key {SECRET} of x",
        ["a", {"b": SECRET}],
        ValueError(SECRET),
        "-----BEGIN PRIVATE KEY-----\nAAAA",
    ],
)
def test_a_private_key_never_reaches_the_diagnostics(value: object) -> None:
    redacted = redact_private_keys(None, "info", {"event": "x", "value": value})
    assert SECRET not in repr(redacted)
    assert "AAAA" not in repr(redacted)
    assert "redacted" in repr(redacted)


def test_alarms_are_counted_by_name_and_nothing_else_is(capfd: pytest.CaptureFixture[str]) -> None:
    alarms: Counter[str] = Counter()
    diag = configure_diag(process="collect", is_readable=False, alarms=alarms)
    diag.error("journal_full", bytes_max=7)
    diag.error("journal_full")
    diag.warning("process_died")
    diag.info("journal_full_ended")
    diag.exception("request_failed")
    assert alarms == {"journal_full": 2, "request_failed": 1}
    assert len(capfd.readouterr().err.splitlines()) == 5


def test_everything_else_is_left_as_it_is() -> None:
    event = {"event": "x", "n": 1, "path": Path("p"), "none": None, "list": [1, "a"]}
    assert redact_private_keys(None, "info", dict(event)) == event


def test_diagnostics_that_nobody_takes_do_not_end_the_process() -> None:
    script = (
        "import os, sys\n"
        "from meshtrail.app.diag import configure_diag\n"
        "diag = configure_diag(process='collect')\n"
        "reader, writer = os.pipe()\n"
        "os.close(reader)\n"
        "os.dup2(writer, 2)\n"
        "diag.info('log_opened')\n"
        "print('still there')\n"
    )
    # With unbuffered streams nothing would be left to fail at the end.
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=False, env=buffered
    )
    assert (done.returncode, done.stdout) == (0, b"still there\n")
