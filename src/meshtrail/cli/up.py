"""``meshtrail up``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from meshtrail.cli import exit_codes
from meshtrail.cli.documentation import add_data_option, add_json_option, make_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshtrail.app.up import Ready, Restarted

_ABOUT = """
    Records. Runs four processes on this machine: collect receives access logs from Envoys, and
    logs, traces and metrics from senders of OTLP, and reads files as they grow, journals them and
    acknowledges; seal makes
    journaled records part of the signed log, every 250 ms while there are any; ledger keeps account
    of what proxies counted and what is missing; serve answers searches, live tails, metrics and the
    log's own tiles over HTTP. They share nothing but files, and each may be killed at any instant:
    it is started again, and nothing that was journaled is lost or sealed twice.

    The first start makes the data directory, the log's name (MESH/CLUSTER/ and 8 random hex digits)
    and its private key, outside the data directory, and pins the key for this user. Keep the key:
    without it the log cannot go on.

    When everything listens, one line says so on standard output; diagnostics are JSON lines on
    standard error. SIGTERM or Ctrl-C stops in order: collect finishes its streams, seal empties the
    journals, serve shows the last of it. A second one ends at once, and the next start goes on
    where the journals are.
"""
_EXAMPLES = (
    (
        "meshtrail up",
        "Plaintext on 127.0.0.1:4317 and :4318, HTTP on :8710, data in ./meshtrail-data.",
    ),
    (
        "meshtrail up --config /etc/meshtrail.toml --data /var/lib/meshtrail",
        "Options from a file; the command line wins over it.",
    ),
    (
        "meshtrail up --tail 'envoy-json=/var/log/containers/*_istio-proxy-*.log'",
        "Lines of files too, as they grow, through rotation and restarts.",
    ),
    (
        "meshtrail up --grpc [::]:4317 --tls-cert c.pem --tls-key k.pem --tls-client-ca ca.pem",
        "For Envoys elsewhere: mTLS, so that each stream says who it is.",
    ),
)


def make_up_parser() -> argparse.ArgumentParser:
    """The arguments of ``meshtrail up``."""
    parser = make_parser(
        "up",
        _ABOUT,
        examples=_EXAMPLES,
        exits=(
            exit_codes.TAMPERED,
            exit_codes.NOT_BUILT,
            exit_codes.UNAVAILABLE,
            exit_codes.CONFIG,
            exit_codes.INTERRUPTED,
        ),
    )
    add_data_option(parser)
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="TOML; the command line wins over it"
    )
    add_json_option(parser, "say what runs as JSON lines")
    _add_log_options(parser)
    _add_door_options(parser)
    _add_seal_options(parser)
    return parser


def _add_log_options(parser: argparse.ArgumentParser) -> None:
    log = parser.add_argument_group("a new log")
    log.add_argument("--mesh", metavar="NAME", help="first part of its origin (default: mesh)")
    log.add_argument("--cluster", metavar="NAME", help="second part of its origin (default: local)")
    log.add_argument(
        "--key",
        metavar="FILE",
        type=Path,
        help="its private key, mode 0600, outside DATA; made when it is not there "
        "(default: $MESHTRAIL_HOME/keys/ORIGIN.key)",
    )


def _add_door_options(parser: argparse.ArgumentParser) -> None:
    doors = parser.add_argument_group("doors")
    doors.add_argument(
        "--grpc",
        metavar="HOST:PORT",
        help="Envoy access logs and OTLP over gRPC; port 0 lets the system choose "
        "(default: 127.0.0.1:4317)",
    )
    doors.add_argument(
        "--tls-cert",
        metavar="FILE",
        type=Path,
        help="server certificate, PEM: records are received over TLS",
    )
    doors.add_argument("--tls-key", metavar="FILE", type=Path, help="its private key, PEM")
    doors.add_argument(
        "--tls-client-ca",
        metavar="FILE",
        type=Path,
        help="CA of the senders, PEM: each must show a certificate, and its SPIFFE ID becomes the "
        "authenticated identity of its streams",
    )
    doors.add_argument(
        "--tokens",
        metavar="FILE",
        type=Path,
        help="tokens of senders without a certificate, see meshtrail keys token; beyond loopback "
        "over TLS only",
    )
    doors.add_argument(
        "--xfcc-from",
        metavar="ADDRESS",
        action="append",
        help="address or network of a proxy in front, whose x-forwarded-client-cert is believed; "
        "may stand several times",
    )
    doors.add_argument(
        "--otlp-http",
        metavar="HOST:PORT|off",
        help="OTLP over HTTP; port 0 lets the system choose, off takes none "
        "(default: 127.0.0.1:4318)",
    )
    doors.add_argument(
        "--tail",
        metavar="FORMAT=PATH",
        action="append",
        type=_tail,
        help="read the lines of a file as it grows, or of the files of a pattern; may stand "
        "several times; formats: see docs/sources/file-tail.md",
    )
    doors.add_argument(
        "--http",
        metavar="HOST:PORT|off",
        help="searches, live tails, metrics and tiles over HTTP, on loopback only; port 0 lets the "
        "system choose, off answers nothing (default: 127.0.0.1:8710)",
    )


def _tail(text: str) -> dict[str, str]:
    """FORMAT=PATH as a table of the configuration."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not FORMAT=PATH")
    return {"format": name, "path": str(Path(path).absolute())}


def _add_seal_options(parser: argparse.ArgumentParser) -> None:
    seal = parser.add_argument_group("sealing")
    seal.add_argument(
        "--lock-record",
        metavar="FILE",
        type=Path,
        help="a file on another volume; each signed head is appended there first, and a directory "
        "that is older than it is refused (3): a rollback",
    )
    seal.add_argument(
        "--tick-ms",
        metavar="MS",
        type=int,
        help="how often entries are sealed, 1 to 1000 ms (default: 250)",
    )
    seal.add_argument(
        "--accept-clock",
        action="store_true",
        default=None,
        help="start although the wall clock stands over 5 s before the last entry",
    )


def main(argv: Sequence[str]) -> int:
    """Run the command."""
    arguments = make_up_parser().parse_args(argv)
    from meshtrail.app.keys import home_directory
    from meshtrail.app.up import UpRequest, run_up
    from meshtrail.config import read_tables
    from meshtrail.verify.pins import default_pins_file

    config = arguments.config
    request = UpRequest(
        data=arguments.data,
        tables=read_tables(config) if config is not None else {},
        overrides=_overrides(arguments),
        folder=(config.parent if config is not None else Path()).absolute(),
        home=home_directory(os.environ),
        pins_file=default_pins_file(os.environ),
    )
    return run_up(request, _print_json if arguments.json else _print_lines)


def _overrides(arguments: argparse.Namespace) -> dict[str, object]:
    def absolute(path: Path | None) -> Path | None:
        return None if path is None else path.absolute()

    return {
        "log.mesh": arguments.mesh,
        "log.cluster": arguments.cluster,
        "keys.file": absolute(arguments.key),
        "collect.grpc": arguments.grpc,
        "collect.otlp_http": arguments.otlp_http,
        "serve.http": arguments.http,
        "collect.tls_cert": absolute(arguments.tls_cert),
        "collect.tls_key": absolute(arguments.tls_key),
        "collect.tls_client_ca": absolute(arguments.tls_client_ca),
        "collect.tokens": absolute(arguments.tokens),
        "collect.xfcc_from": arguments.xfcc_from,
        "collect.tail": arguments.tail,
        "seal.lock_record": absolute(arguments.lock_record),
        "seal.tick_ms": arguments.tick_ms,
        "seal.is_clock_accepted": arguments.accept_clock,
    }


def _print_json(happened: Ready | Restarted) -> None:
    print(json.dumps(happened.as_json()), flush=True)


def _print_lines(happened: Ready | Restarted) -> None:
    facts = happened.as_json()
    if facts["event"] == "ready":
        print("\n".join(_ready_lines(facts)), flush=True)
    else:
        ended = f"{facts['process']} ended with status {facts['exit']}"
        print(f"{ended} and runs again, process {facts['pid']}", flush=True)


def _ready_lines(facts: dict[str, object]) -> Iterator[str]:
    yield f"meshtrail is recording {facts['origin']}"
    yield f"  grpc         {facts['grpc']} ({facts['security']}): Envoy access logs, OTLP"
    if facts["otlp_http"] is not None:
        yield f"  otlp http    {facts['otlp_http']} ({facts['security']}): OTLP, records"
    if facts["http"] is not None:
        yield f"  http         http://{facts['http']} (loopback only): search, tail, metrics, tiles"
    yield f"  data         {facts['data']}"
    yield f"  private key  {facts['key_file']}"
    yield f"  key          {facts['vkey']}"
    yield f"  fingerprint  {facts['fingerprint']}"
    yield "  not built    console"
