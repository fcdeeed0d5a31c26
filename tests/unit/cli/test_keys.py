from __future__ import annotations

import json
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.app.keys import read_key_file
from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from meshtrail.note import format_fingerprint, format_vkey, parse_vkey
from meshtrail.verify.pins import read_pins
from tests.unit.search.small_log import ORIGIN, make_log

if TYPE_CHECKING:
    from pathlib import Path

Keys = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("MESHTRAIL_HOME", str(folder))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture
def keys(capsys: pytest.CaptureFixture[str]) -> Keys:
    def run(*arguments: str) -> tuple[int, dict[str, Any], str]:
        status = main(["keys", *arguments, "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out or "{}"), captured.err

    return run


def test_make_writes_a_private_key_and_prints_the_public_one(keys: Keys, home: Path) -> None:
    status, facts, _ = keys("make", ORIGIN)
    path = home / "keys" / "prod_east_1f2e3d4c.key"
    assert status == exit_codes.OK
    assert facts["key_file"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    verifier = read_key_file(path).verifier
    assert facts["vkey"] == format_vkey(verifier)
    assert facts["fingerprint"] == format_fingerprint(verifier)


def test_make_refuses_a_place_in_the_data_directory_and_an_existing_file(
    keys: Keys, tmp_path: Path
) -> None:
    inside = tmp_path / "data" / "log.key"
    assert keys("make", ORIGIN, "--out", str(inside))[0] == exit_codes.CONFIG
    assert not inside.exists()
    outside = tmp_path / "log.key"
    assert keys("make", ORIGIN, "--out", str(outside))[0] == exit_codes.OK
    assert keys("make", ORIGIN, "--out", str(outside))[0] == exit_codes.CONFIG


def test_make_refuses_a_name_that_cannot_name_a_key(keys: Keys) -> None:
    assert keys("make", "a name with spaces")[0] == exit_codes.BAD_INPUT


def test_show_prints_the_public_half_of_a_private_key_and_never_the_secret(
    keys: Keys, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.key"
    _, made, _ = keys("make", ORIGIN, "--out", str(path))
    secret = path.read_text().strip()
    assert keys("show", str(path))[1]["vkey"] == made["vkey"]
    assert main(["keys", "show", str(path)]) == exit_codes.OK
    captured = capsys.readouterr()
    # The vkey alone on standard output, so that it can be sent to a file.
    assert captured.out == made["vkey"] + "\n"
    assert made["fingerprint"] in captured.err
    assert secret.split("+", 4)[4] not in captured.out + captured.err


def test_show_prints_the_key_that_a_directory_claims(keys: Keys, tmp_path: Path) -> None:
    log = make_log(tmp_path / "data")
    assert keys("show")[1]["vkey"] == format_vkey(log.signer.verifier)


def test_pin_takes_a_key_or_a_file_and_adds_it_to_the_pins(
    keys: Keys, home: Path, tmp_path: Path
) -> None:
    _, first, _ = keys("make", ORIGIN)
    _, second, _ = keys("make", "prod/west/0badcafe")
    assert keys("pin", first["vkey"])[0] == exit_codes.OK
    path = tmp_path / "second.vkey"
    path.write_text(second["vkey"] + "\n")
    status, facts, _ = keys("pin", str(path))
    assert (status, facts["pins_file"]) == (exit_codes.OK, str(home / "pins"))
    assert set(read_pins(home / "pins").values()) == {
        parse_vkey(first["vkey"]),
        parse_vkey(second["vkey"]),
    }


def test_a_private_key_is_never_pinned(keys: Keys, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "log.key"
    keys("make", ORIGIN, "--out", str(path))
    status, _, err = keys("pin", str(path))
    assert status == exit_codes.BAD_INPUT
    # The last part is base64, which may hold plus signs itself.
    assert path.read_text().strip().split("+", 4)[4] not in err
    assert not (home / "pins").exists()


@pytest.mark.parametrize(
    "arguments", [["make"], ["pin"], ["lose", "x"], ["show", "x", "--out", "y"], []]
)
def test_arguments_that_make_no_command_are_usage_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    assert ended.value.code == exit_codes.USAGE
