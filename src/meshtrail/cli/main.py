"""``meshtrail``: finds the command, runs it, and turns errors into messages and exit statuses."""

from __future__ import annotations

import difflib
import json
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from meshtrail.cli import exit_codes
from meshtrail.errors import MeshtrailError, QueryError

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS: Final = {
    "demo": (
        "meshtrail.cli.demo",
        "a mesh of real Envoys, a staged breach, a guided investigation",
    ),
    "up": ("meshtrail.cli.up", "record: receive, journal and seal, on this machine"),
    "import": (
        "meshtrail.cli.import_files",
        "put files of access logs, flows, audit events and more into the log",
    ),
    "status": ("meshtrail.cli.status", "what is recorded and sealed"),
    "completeness": ("meshtrail.cli.completeness", "what is missing, and why"),
    "search": (
        "meshtrail.cli.search",
        "find events by identity, path, decision, id, time; or by SQL",
    ),
    "trace": ("meshtrail.cli.trace", "one trace or request as a tree of calls, from both ends"),
    "explain": (
        "meshtrail.cli.explain",
        "what stands behind one event: pods, images, policies, operators, commits",
    ),
    "changes": ("meshtrail.cli.changes", "who changed policies, routes and rights, to what effect"),
    "verify": ("meshtrail.cli.verify", "audit the whole log against everything it signed"),
    "prove": ("meshtrail.cli.prove", "write proofs of entries, or a case bundle, for a stranger"),
    "check": ("meshtrail.cli.check", "check a proof or a bundle, offline"),
    "keys": ("meshtrail.cli.keys", "make, show and pin keys"),
    "catalogue": ("meshtrail.cli.catalogue", "list the log's Parquet files for other engines"),
    "emit-config": (
        "meshtrail.cli.emit_config",
        "the configuration that makes a mesh or a cluster report here",
    ),
    "export": ("meshtrail.cli.export", "write the log for other tools"),
}

NOT_BUILT: Final = (
    "config", "path", "reach", "replay", "timeline", "witness",
)  # fmt: skip
"""Commands that are promised: they say that they are not built yet, rather than be unknown."""

_HELP: Final = ("-h", "--help", "help")
_ABOUT: Final = """\
usage: meshtrail COMMAND [ARGUMENTS]

The flight recorder for service meshes: every request, connection and decision becomes a sealed
entry in a log that anyone can check.

commands:
{commands}

`meshtrail COMMAND --help` documents each of them. The data directory is ./meshtrail-data unless
--data or MESHTRAIL_DATA names another; keys and pins lie in ~/.config/meshtrail unless
MESHTRAIL_HOME does.

exit status:
{exits}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status; see ``exit_codes``.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(arguments)
    except MeshtrailError as error:
        _print_error(error, is_json="--json" in arguments)
        return exit_codes.exit_code(error)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        return exit_codes.INTERRUPTED
    except BrokenPipeError:
        # `| head` has what it wanted. Standard output is closed for good, or the interpreter
        # would complain about it once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"meshtrail: {where}{error.strerror or error}\n")
        return exit_codes.DURABILITY


def _run(arguments: list[str]) -> int:
    name = arguments[0] if arguments else "--help"
    if name in _HELP:
        print(help_text(), end="")
        return exit_codes.OK
    if name == "--version":
        from meshtrail.app.version import read_version

        print(f"meshtrail {read_version()}")
        return exit_codes.OK
    if name in COMMANDS:
        status = import_module(COMMANDS[name][0]).main(arguments[1:])
        sys.stdout.flush()
        return int(status)
    if name in NOT_BUILT:
        sys.stderr.write(f"meshtrail: {name} is not built yet\n")
        return exit_codes.NOT_BUILT
    near = difflib.get_close_matches(name, [*COMMANDS, *NOT_BUILT], n=1)
    hint = f"did you mean {near[0]}?" if near else "`meshtrail --help` lists them"
    sys.stderr.write(f"meshtrail: there is no command {name!r}: {hint}\n")
    return exit_codes.USAGE


def help_text() -> str:
    """What ``meshtrail --help`` prints."""
    commands = "\n".join(f"  {name:<13}{about}" for name, (_, about) in COMMANDS.items())
    exits = "\n".join(f"  {code:<5}{meaning}" for code, meaning in exit_codes.MEANINGS.items())
    return _ABOUT.format(commands=commands, exits=exits)


def _print_error(error: MeshtrailError, *, is_json: bool) -> None:
    if is_json:
        facts = {name: fact for name, fact in error.facts.items() if _is_plain(fact)}
        plain = {
            "error": type(error).__name__,
            "message": error.message,
            "exit": exit_codes.exit_code(error),
            "facts": {name: _plain(fact) for name, fact in facts.items()},
        }
        sys.stderr.write(json.dumps(plain) + "\n")
        return
    sys.stderr.write(f"meshtrail: {error.message}\n")
    if isinstance(error, QueryError) and "position" in error.facts:
        sys.stderr.write(_pointer(error))


def _pointer(error: QueryError) -> str:
    """The query with its wrong part underlined; cut to what stands around it."""
    query, position = str(error.facts["query"]), int(str(error.facts["position"]))
    length = int(str(error.facts.get("length", 1)))
    start = max(position - 40, 0)
    shown = "".join(one if one.isprintable() else " " for one in query[start : position + 60])
    return f"  {shown}\n  {' ' * (position - start)}{'^' * max(min(length, 60), 1)}\n"


def _is_plain(fact: object) -> bool:
    return fact is None or isinstance(fact, str | int | float | bytes | os.PathLike)


def _plain(fact: object) -> object:
    if isinstance(fact, bytes):
        return fact.hex()
    return os.fspath(fact) if isinstance(fact, os.PathLike) else fact
