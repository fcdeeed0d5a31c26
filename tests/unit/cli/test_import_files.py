from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.import_files import FORMATS
from meshtrail.cli.main import main
from meshtrail.model.record_formats import OTLP_JSON, RECORD_FORMATS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))


def test_an_import_without_a_log_makes_one_and_accounts_for_every_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.log").write_bytes(b"not\na\nflow\n")
    assert main(["import", "hubble", str(tmp_path / "x.log")]) == exit_codes.OK
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == f"{tmp_path / 'x.log'}: 3 records, entries 1 to 3"
    assert lines[1] == "          3  undecoded"
    assert captured.err.endswith("by this import\n")
    assert captured.err.startswith("sealed in mesh/local/")
    assert main(["import", "hubble", str(tmp_path / "x.log")]) == exit_codes.OK
    assert ": 3 records, entries 6 to 8, 3 imported before" in capsys.readouterr().out


def test_the_formats_are_all_that_there_are() -> None:
    assert sorted(FORMATS) == list(FORMATS) == sorted([*RECORD_FORMATS, OTLP_JSON])


def test_standard_input_is_a_file_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo")))
    assert main(["import", "ztunnel", "--cluster", "east", "-", "--json"]) == exit_codes.OK
    [line] = capsys.readouterr().out.splitlines()
    account = json.loads(line)
    assert (account["file"], account["records"], account["repeated"]) == ("-", 2, 0)
    assert sum(account["kinds"].values()) == 2


def test_a_file_that_is_not_there_ends_with_the_status_of_bad_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "ztunnel", str(tmp_path / "missing")]) == exit_codes.BAD_INPUT
    assert "missing: No such file" in capsys.readouterr().err
