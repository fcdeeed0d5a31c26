"""Every help text as it is printed; regenerate with MESHTRAIL_UPDATE_GOLDEN=1 and read the diff."""

from __future__ import annotations

import contextlib
import io
import os
from importlib import import_module
from pathlib import Path

import pytest

from meshtrail.cli import exit_codes, main

GOLDEN = Path(__file__).parent / "golden"


def help_of(name: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        if name == "meshtrail":
            main.main(["--help"])
        else:
            main.main([name, "--help"])
    return printed.getvalue()


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("MESHTRAIL_DATA", raising=False)


def test_the_commands_are_those_that_were_promised_and_each_has_its_module() -> None:
    assert {name: module for name, (module, _) in main.COMMANDS.items()} == {
        "demo": "meshtrail.cli.demo",
        "up": "meshtrail.cli.up",
        "status": "meshtrail.cli.status",
        "completeness": "meshtrail.cli.completeness",
        "import": "meshtrail.cli.import_files",
        "explain": "meshtrail.cli.explain",
        "changes": "meshtrail.cli.changes",
        "search": "meshtrail.cli.search",
        "trace": "meshtrail.cli.trace",
        "verify": "meshtrail.cli.verify",
        "prove": "meshtrail.cli.prove",
        "check": "meshtrail.cli.check",
        "keys": "meshtrail.cli.keys",
        "catalogue": "meshtrail.cli.catalogue",
        "emit-config": "meshtrail.cli.emit_config",
        "export": "meshtrail.cli.export",
    }


@pytest.mark.parametrize("name", ["meshtrail", *main.COMMANDS])
def test_help_is_what_was_last_agreed_on(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    text = help_of(name)
    if os.environ.get("MESHTRAIL_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", main.COMMANDS)
def test_help_has_the_parts_of_a_page_of_documentation(name: str) -> None:
    text = help_of(name)
    assert text.startswith(f"usage: meshtrail {name}")
    assert (
        f"\nexamples:\n  meshtrail {name} " in text or f"\nexamples:\n  meshtrail {name}\n" in text
    )
    assert "\nexit status:\n  0   done\n" in text
    assert all(len(line) <= 102 for line in text.splitlines())


@pytest.mark.parametrize("name", [name for name in main.COMMANDS if name != "demo"])
def test_every_command_that_prints_facts_and_no_story_takes_json(name: str) -> None:
    assert "--json" in help_of(name)


@pytest.mark.parametrize("name", main.COMMANDS)
def test_a_wrong_option_is_a_usage_error_that_names_the_help(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        import_module(main.COMMANDS[name][0]).main(["--no-such-option", "x"])
    assert ended.value.code == exit_codes.USAGE
    assert f"See meshtrail {name} --help" in capsys.readouterr().err
