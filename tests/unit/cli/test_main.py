from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import exit_codes, main
from meshtrail.errors import DigestError, MeshtrailError, QueryError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAVY = {
    "pyarrow", "duckdb", "grpc", "structlog", "msgspec", "numpy", "cryptography", "google", "ptars",
    "asyncio", "envoy",
}  # fmt: skip
SCRIPT = """
import sys
from meshtrail.cli.main import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[list[str]], int]], None]:
    """Puts a command called ``test`` in place."""

    def put(run: Callable[[list[str]], int]) -> None:
        module = ModuleType("test_command")
        module.main = run  # type: ignore[attr-defined] # a module made by hand
        monkeypatch.setitem(sys.modules, "test_command", module)
        monkeypatch.setitem(main.COMMANDS, "test", ("test_command", "for this test"))

    return put


def raising(error: BaseException) -> Callable[[list[str]], int]:
    def run(_: list[str]) -> int:
        raise error

    return run


@pytest.mark.parametrize("name", ["", *main.COMMANDS])
def test_help_imports_nothing_heavy(name: str) -> None:
    # What keeps help under 0.2 s, measured where time cannot be: on a busy machine.
    arguments = [name, "--help"] if name else ["--help"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    assert "usage: meshtrail" in done.stdout
    assert not HEAVY & set(done.stderr.split())


def test_no_arguments_at_all_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == exit_codes.OK
    assert capsys.readouterr().out == main.help_text()


def test_help_lists_every_command_and_every_exit_status() -> None:
    text = main.help_text()
    for name in main.COMMANDS:
        assert f"\n  {name} " in text
    for code in exit_codes.MEANINGS:
        assert f"\n  {code} " in text


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["--version"]) == exit_codes.OK
    assert capsys.readouterr().out.startswith("meshtrail ")


def test_an_unknown_command_is_a_usage_error_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["serch"]) == exit_codes.USAGE
    assert "did you mean search?" in capsys.readouterr().err
    assert main.main(["xyz"]) == exit_codes.USAGE
    assert "--help" in capsys.readouterr().err


@pytest.mark.parametrize("name", main.NOT_BUILT)
def test_a_promised_command_says_that_it_is_not_built_yet(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([name, "--whatever"]) == exit_codes.NOT_BUILT
    assert capsys.readouterr().err == f"meshtrail: {name} is not built yet\n"
    assert f"\n  {name} " not in main.help_text()


def test_the_status_of_a_command_is_the_status_of_the_program(
    command: Callable[[Callable[[list[str]], int]], None],
) -> None:
    command(len)
    assert main.main(["test", "a", "b"]) == 2


def test_an_error_is_a_message_and_the_status_of_its_branch(
    command: Callable[[Callable[[list[str]], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(raising(DigestError("segments/x is not the bytes")))
    assert main.main(["test"]) == exit_codes.TAMPERED
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "meshtrail: segments/x is not the bytes\n")


def test_with_json_an_error_is_one_object_with_its_facts(
    command: Callable[[Callable[[list[str]], int]], None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    error = DigestError("changed", path=tmp_path, want=b"\x01", got=b"\x02", at=7, other=object())
    command(raising(error))
    assert main.main(["test", "--json"]) == exit_codes.TAMPERED
    assert json.loads(capsys.readouterr().err) == {
        "error": "DigestError",
        "message": "changed",
        "exit": 3,
        "facts": {"path": str(tmp_path), "want": "01", "got": "02", "at": 7},
    }


def test_a_query_error_points_at_its_place(
    command: Callable[[Callable[[list[str]], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    query = "method:GET AND pth:/x"
    command(raising(QueryError("no field", query=query, position=15, length=3)))
    main.main(["test"])
    assert capsys.readouterr().err == (
        "meshtrail: no field\n  method:GET AND pth:/x\n                 ^^^\n"
    )


def test_a_pointer_into_a_long_query_shows_what_stands_around_it(
    command: Callable[[Callable[[list[str]], int]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    query = "x" * 500 + "HERE" + "\x1b" * 500
    command(raising(QueryError("no", query=query, position=500, length=4)))
    main.main(["test"])
    _, shown, marks = capsys.readouterr().err.rstrip("\n").split("\n")
    assert shown[marks.index("^") : marks.rindex("^") + 1] == "HERE"
    assert len(shown) < 120
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), exit_codes.INTERRUPTED),
        (PermissionError(13, "Permission denied", "/x"), exit_codes.DURABILITY),
        (MeshtrailError("?"), exit_codes.UNEXPECTED),
    ],
)
def test_interrupts_and_the_systems_errors_have_their_status(
    command: Callable[[Callable[[list[str]], int]], None],
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
) -> None:
    command(raising(error))
    assert main.main(["test"]) == status
    assert "Traceback" not in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_the_command_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "meshtrail", "search", "--fields"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (exit_codes.PIPE_CLOSED, "")
