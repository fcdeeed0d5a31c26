from __future__ import annotations

import json
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.app.tokens import read_tokens
from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from meshtrail.collect.tokens import parse_token

if TYPE_CHECKING:
    from pathlib import Path

Keys = Callable[..., tuple[int, dict[str, Any], str]]

BOUND = ("--source", "otlp,envoy-als", "--reporter", "shop-*", "--reporter", "*.shop")


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


def test_token_is_printed_and_its_hash_noted_for_its_owner_alone(keys: Keys, home: Path) -> None:
    status, facts, _ = keys("token", "shop", *BOUND, "--days", "30")
    assert status == exit_codes.OK
    assert facts["tokens_file"] == str(home / "tokens")
    (token,) = read_tokens(home / "tokens").values()
    found_id, secret = parse_token(facts["token"])
    assert found_id == token.id
    assert token.has_secret(secret)
    assert (token.sources, token.reporters) == (("envoy-als", "otlp"), ("shop-*", "*.shop"))
    assert token.expires_ns - token.created_ns == 30 * 86_400 * 10**9
    assert stat.S_IMODE((home / "tokens").stat().st_mode) == 0o600
    assert secret.hex() not in (home / "tokens").read_text()


def test_token_stands_alone_on_standard_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "elsewhere"
    assert main(["keys", "token", "shop", *BOUND, "--tokens", str(path)]) == exit_codes.OK
    captured = capsys.readouterr()
    text = captured.out.removesuffix("\n")
    (token,) = read_tokens(path).values()
    assert parse_token(text)[0] == token.id
    assert token.expires_ns - token.created_ns == 365 * 86_400 * 10**9
    assert "This is the only time that it is shown." in captured.err
    assert text.rpartition("_")[2] not in captured.err


def test_list_tells_everything_but_what_lets_in(
    keys: Keys, capsys: pytest.CaptureFixture[str]
) -> None:
    _, made, _ = keys("token", "shop", *BOUND)
    _, listed, _ = keys("tokens")
    assert main(["keys", "tokens"]) == exit_codes.OK
    lines = capsys.readouterr().out
    (facts,) = listed["tokens"]
    assert set(facts) == {"id", "name", "sources", "reporters", "created", "expires"}
    assert lines == f"shop  {made['id']}  until {made['expires']}  envoy-als,otlp  shop-* *.shop\n"
    assert made["token"].rpartition("_")[2] not in lines + json.dumps(listed)


def test_list_of_no_file_is_empty(keys: Keys) -> None:
    status, facts, _ = keys("tokens")
    assert (status, facts["tokens"]) == (exit_codes.OK, [])


def test_revoked_token_is_gone(keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    _, made, _ = keys("token", "shop", *BOUND)
    keys("token", "other", *BOUND)
    assert keys("revoke", made["id"])[1]["revoked"]["name"] == "shop"
    assert [token["name"] for token in keys("tokens")[1]["tokens"]] == ["other"]
    assert keys("revoke", "shop")[0] == exit_codes.BAD_INPUT
    assert main(["keys", "revoke", "other"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("revoked other (")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("token", "a b", *BOUND), exit_codes.BAD_INPUT),
        (("token", "a", "--source", "syslog", "--reporter", "*"), exit_codes.BAD_INPUT),
        (("token", "a", "--source", ",", "--reporter", "*"), exit_codes.BAD_INPUT),
        (("token", "a", *BOUND, "--days", "0"), exit_codes.BAD_INPUT),
    ],
)
def test_token_that_makes_no_sense_is_refused_and_not_noted(
    keys: Keys, home: Path, arguments: tuple[str, ...], status: int
) -> None:
    assert keys(*arguments)[0] == status
    assert not home.exists()


def test_tokens_file_in_the_data_directory_is_refused(keys: Keys, tmp_path: Path) -> None:
    inside = tmp_path / "data" / "tokens"
    assert keys("token", "a", *BOUND, "--tokens", str(inside))[0] == exit_codes.CONFIG
    assert not inside.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "a"],
        ["token", "a", "--source", "otlp"],
        ["token", *BOUND],
        ["tokens", "a"],
        ["tokens", *BOUND],
        ["revoke"],
        ["revoke", "a", "--days", "3"],
        ["token", "a", *BOUND, "--out", "x"],
        ["show", "--tokens", "x"],
    ],
)
def test_arguments_that_make_no_command_are_usage_errors(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    assert ended.value.code == exit_codes.USAGE
