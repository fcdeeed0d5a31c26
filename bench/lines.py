"""Measure how fast lines of access logs become event columns, beside a parser of JSON alone.

    ./dev bench lines [--lines 65536] [--rounds 5] [--processes 2] [--out FILE]

Prints one JSON object; bench/README.md explains every figure. Needs no recording: the lines are
those of the tests, with ids, addresses, paths and identities that vary as those of a mesh do.
"""

from __future__ import annotations

import argparse
import json
import random  # noqa: TID251 - seeded: the same lines can be had again
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _checkout  # type: ignore[import-not-found]  # noqa: F401 - beside the script
import pyarrow as pa

from bench.harness.machine import describe_machine
from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE
from meshtrail.sources.json_columns import TEXT, JsonColumns
from meshtrail.sources.lines.istio_access import KEYS
from meshtrail.sources.mappings import MAPPINGS
from meshtrail.sources.streams import unknown_reporters
from tests.istio_lines import INBOUND, json_line, text_line
from tests.otlp_records import request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FORMATS = {
    "istio-json": PayloadFormat.ISTIO_JSON,
    "istio-text": PayloadFormat.ISTIO_TEXT,
    "envoy-json": PayloadFormat.ENVOY_JSON,
}
KEYS_OF = {"istio-json": KEYS, "envoy-json": (*(one.key for one in ATTRIBUTES), *BESIDE)}
WORKLOADS_COUNT = 244
PATHS_COUNT = 5_000
ACCESS_LOG_TIME = "2026-11-21T01:31:24.882174000Z"


def main() -> None:
    """Time each format and print what was found."""
    options = parse_options()
    facts: dict[str, Any] = {"machine": describe_machine(), "formats": {}}
    for name in FORMATS:
        print(f"{name}: {options.rounds} rounds of {options.lines} lines …", file=sys.stderr)
        facts["formats"][name] = measure(name, options)
    text = json.dumps(facts, indent=2)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--lines", type=int, default=65_536, help="of each format, one batch")
    parser.add_argument("--rounds", type=int, default=5, help="the best of them counts")
    parser.add_argument("--processes", type=int, default=2, help="that decode at once, at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the result here")
    return parser.parse_args()


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one format."""
    lines = make_lines(name, options.lines, options.seed)
    size = sum(map(len, lines))
    seconds = best_of(options.rounds, lambda: decode(name, lines))
    facts: dict[str, Any] = {
        "line_bytes_mean": round(size / len(lines)),
        "decode_us_per_line": round(seconds / len(lines) * 1e6, 2),
        "decode_mb_per_s": round(size / seconds / 1e6, 1),
    }
    if name in KEYS_OF:
        floor = best_of(options.rounds, lambda: parse_only(name, lines))
        facts["json_alone_us_per_line"] = round(floor / len(lines) * 1e6, 2)
        facts["json_alone_mb_per_s"] = round(size / floor / 1e6, 1)
    facts["processes"] = options.processes
    facts["all_processes_mb_per_s"] = round(decode_at_once(name, options, size), 1)
    return facts


def best_of(rounds: int, run: Callable[[], object]) -> float:
    """The least time that one of so many runs took, in seconds."""
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        run()
        found.append(time.perf_counter() - begin)
    return min(found)


def decode(name: str, lines: Sequence[bytes]) -> None:
    """What the derivation does with a batch of lines."""
    records = pa.array(lines, pa.binary())
    MAPPINGS[FORMATS[name]](records, unknown_reporters(len(lines)))


def parse_only(name: str, lines: Sequence[bytes]) -> None:
    """The floor: the same keys by the same parser, and nothing made of them."""
    JsonColumns(pa.array(lines, pa.binary()), dict.fromkeys(KEYS_OF[name], TEXT))


def decode_at_once(name: str, options: argparse.Namespace, size: int) -> float:
    """What several processes decode together, in MB/s: of the rounds of the slowest of them."""
    with ProcessPoolExecutor(options.processes) as pool:
        waiting = [
            pool.submit(run_rounds, name, options.lines, options.seed, options.rounds)
            for _ in range(options.processes)
        ]
        seconds: float = max(one.result() for one in waiting)
    processes: int = options.processes
    rounds: int = options.rounds
    return processes * rounds * size / seconds / 1e6


def run_rounds(name: str, lines_count: int, seed: int, rounds: int) -> float:
    """The seconds that so many rounds take, one warm one before them left out."""
    lines = make_lines(name, lines_count, seed)
    decode(name, lines)
    begin = time.perf_counter()
    for _ in range(rounds):
        decode(name, lines)
    return time.perf_counter() - begin


def make_lines(name: str, count: int, seed: int) -> list[bytes]:
    """Lines of one format."""
    chance = random.Random(seed)  # noqa: S311 - data, not keys
    make = {"istio-json": istio, "istio-text": istio, "envoy-json": envoy}[name]
    encode = {"istio-json": json_line, "istio-text": text_line, "envoy-json": json_line}[name]
    return [encode(make(chance)) for _ in range(count)]


def istio(chance: random.Random) -> dict[str, Any]:
    """A request as a sidecar of Istio tells it, refused once in twenty times."""
    is_denied, caller = chance.random() < 1 / 20, chance.randrange(WORKLOADS_COUNT)
    allowed = {"response_code": 200, "response_code_details": "via_upstream", "bytes_sent": 812}
    return (
        INBOUND
        | ({} if is_denied else allowed)
        | {
            "start_time": f"2026-11-21T01:31:24.{chance.randrange(1000):03}Z",
            "path": f"/orders/{chance.randrange(PATHS_COUNT)}?page=1",
            "request_id": uuid(chance),
            "duration": chance.randrange(50),
            "downstream_remote_address": f"10.0.0.{caller}:{port(chance)}",
            "upstream_local_address": f"127.0.0.6:{port(chance)}",
        }
    )


def envoy(chance: random.Random) -> dict[str, Any]:
    """The same as an Envoy tells it that was configured for meshtrail."""
    workload = chance.randrange(WORKLOADS_COUNT)
    said = request() | {
        "time": ACCESS_LOG_TIME,
        "envoy.request_path": f"/orders/{chance.randrange(PATHS_COUNT)}?page=1",
        "http.request.header.x-request-id": uuid(chance),
        "http.request.header.traceparent": f"00-{chance.randbytes(16).hex()}-{'1' * 16}-01",
        "network.peer.address": f"10.0.0.{workload}",
        "network.peer.port": port(chance),
        "envoy.peer_uri_san": f"spiffe://cluster.local/ns/shop/sa/caller-{workload}",
        "envoy.connection_id": chance.randrange(1, 10_000),
    }
    return {key: value for key, value in said.items() if value != "-"}


def uuid(chance: random.Random) -> str:
    """A request id."""
    digits = chance.randbytes(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def port(chance: random.Random) -> int:
    """A port that a caller takes."""
    return chance.randrange(32_768, 61_000)


if __name__ == "__main__":
    main()
