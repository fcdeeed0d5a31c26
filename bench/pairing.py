"""What pairing costs: CPU for each row and memory, while all is well and with very many open.

    ./dev bench pairing [--rate 50000] [--seconds 60] [--open 1000000] [--plain]

Prints one JSON object. Both ends of varied calls are made as event tables, a batch for each quarter
of a second, and taken by a ``Pairing``; only what it uses is measured. Four phases: all records
find their partner; the same while ``--open`` records wait whose destinations fell silent; half of
the records of both ends are lost; and a flood in which none finds a partner, at the bound.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from _checkout import ROOT  # type: ignore[import-not-found] # noqa: F401 - makes meshtrail importable

from meshtrail.correlate.pairing import COLUMNS, TEXT_COLUMNS, Pairing, PairingOptions
from meshtrail.model.event import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND_NS = 1_000_000_000
_BATCHES_PER_S = 4
_SKEW_NS = 1_500_000_000
"""How much later than one end the other end's record arrives, at most: access logs are flushed once
a second."""
_PODS = 2_000
_CONNECTIONS = 20_000
_START_NS = 1_800_000_000 * _SECOND_NS


class Traffic:
    """Records of both ends of calls between pods, by time of arrival."""

    def __init__(self, *, rate: int, seed: int, is_coded: bool) -> None:
        self._random = np.random.default_rng(seed)
        self._rate = rate
        self._is_coded = is_coded
        self._log_index = 0
        self._now_ns = _START_NS
        self._late: dict[str, np.ndarray[Any, Any]] | None = None
        self._ips = pa.array([f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(_PODS)])
        self._nodes = pa.array([f"sidecar~{ip}~pod.shop~shop.svc" for ip in self._ips.to_pylist()])
        self._ids = pa.array([f"spiffe://mesh/ns/shop/sa/pod{n % 300}" for n in range(_PODS)])
        self._clients = self._random.integers(0, _PODS, _CONNECTIONS)
        self._servers = self._random.integers(0, _PODS, _CONNECTIONS)
        self._ports = self._random.integers(32_768, 60_999, _CONNECTIONS)

    def begin(self) -> None:
        """Forget what is still on its way, for another phase."""
        self._late = None

    def second(self, *, both_ends: bool, lost: float = 0) -> list[pa.Table]:
        """A second of the log, in batches; a share of the records may be lost."""
        calls_count = self._rate // 2 if both_ends else self._rate
        calls = self._calls(calls_count)
        sides = [calls | {"side": np.zeros(calls_count, dtype=np.int64)}]
        if both_ends:
            sides.append(calls | {"side": np.ones(calls_count, dtype=np.int64)})
        rows = _joined(sides)
        skew = self._random.integers(0, _SKEW_NS, len(rows["side"]))
        rows["received"] = rows["end"] + skew
        if lost:
            is_kept = self._random.random(len(rows["side"])) >= lost
            rows = {name: column[is_kept] for name, column in rows.items()}
        if self._late is not None:
            rows = _joined([rows, self._late])
        self._now_ns += _SECOND_NS
        is_late = rows["received"] >= self._now_ns
        self._late = {name: column[is_late] for name, column in rows.items()}
        rows = {name: column[~is_late] for name, column in rows.items()}
        order = np.argsort(rows["received"], kind="stable")
        table = self._table({name: column[order] for name, column in rows.items()})
        size = -(-table.num_rows // _BATCHES_PER_S)
        return [table.slice(at, size) for at in range(0, table.num_rows, size)]

    def _calls(self, count: int) -> dict[str, np.ndarray[Any, Any]]:
        connection = self._random.integers(0, _CONNECTIONS, count)
        end = self._now_ns + np.sort(self._random.integers(0, _SECOND_NS, count))
        return {
            "connection": connection,
            "start": end - self._random.integers(1_000_000, 200_000_000, count),
            "end": end,
            "request": self._random.integers(1, 1 << 62, count),
        }

    def _table(self, rows: dict[str, np.ndarray[Any, Any]]) -> pa.Table:
        count = len(rows["side"])
        client, server = (of[rows["connection"]] for of in (self._clients, self._servers))
        port = self._ports[rows["connection"]].astype(np.int32)
        is_source = rows["side"] == 0
        reporter = np.where(is_source, client, server)
        ids = np.zeros((count, 2), dtype=np.int64)
        ids[:, 0], ids[:, 1] = rows["request"], rows["connection"]
        request_id = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), count, [None, pa.py_buffer(ids.tobytes())]
        )
        known: dict[str, Any] = {
            "log_index": np.arange(self._log_index, self._log_index + count),
            "kind": _repeated("request", count),
            "side": pa.array(["source", "destination"]).take(pa.array(rows["side"])),
            "time": rows["start"],
            "end_time": rows["end"],
            "received_time": rows["received"],
            "is_duplicate": np.zeros(count, dtype=np.bool_),
            "reporter_id": self._nodes.take(pa.array(reporter)),
            "reporter_spiffe_id": self._ids.take(pa.array(reporter)),
            "src_spiffe_id": self._ids.take(pa.array(client)),
            "src_spiffe_id_trust": pa.array(["derived", "attested"]).take(pa.array(rows["side"])),
            "src_ip": self._ips.take(pa.array(client)),
            "src_port": np.where(is_source, 40_000, port).astype(np.int32),
            "dst_ip": self._ips.take(pa.array(server)),
            "dst_port": np.full(count, 8_080, dtype=np.int32),
            "envoy_access_log_type": _repeated("DownstreamEnd", count),
            "envoy_attempt_count": np.ones(count, dtype=np.int32),
            "envoy_upstream_cluster": pa.array(["outbound|8080||shop", "inbound|8080||"]).take(
                pa.array(rows["side"])
            ),
            "envoy_upstream_local_ip": self._ips.take(
                pa.array(np.where(is_source, client, server))
            ),
            "envoy_upstream_local_port": port,
            "request_id": request_id,
        }
        self._log_index += count
        if self._is_coded:
            known |= {
                name: known[name].dictionary_encode() for name in TEXT_COLUMNS if name in known
            }
        columns = [
            known[name]
            if isinstance(known.get(name), pa.Array)
            else pa.array(known[name], BY_NAME[name].type)
            if name in known
            else pa.nulls(count, BY_NAME[name].type)
            for name in COLUMNS
        ]
        return pa.table(columns, names=list(COLUMNS))


def main() -> None:
    """Run the three phases and print what they cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rate", type=int, default=50_000, help="rows a second of the log")
    parser.add_argument("--seconds", type=int, default=60, help="of the log, in each phase")
    parser.add_argument("--open", type=int, default=1_000_000, help="records that wait")
    parser.add_argument("--plain", action="store_true", help="texts in full, not as dictionaries")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    traffic = Traffic(rate=options.rate, seed=options.seed, is_coded=not options.plain)
    # Nobody's grace is over before the end, so that what was made to wait goes on waiting.
    waiting = PairingOptions(grace_ns=3600 * _SECOND_NS, open_max=2 * options.open)
    clean = Pairing(PairingOptions())
    before_bytes = _resident_bytes()
    facts: dict[str, Any] = {"rate": options.rate, "seconds": options.seconds}
    facts["all_paired"] = _measure(clean, options.seconds, lambda: traffic.second(both_ends=True))
    del clean
    traffic.begin()
    crowded = Pairing(waiting)
    while crowded.open_count < options.open:
        for table in traffic.second(both_ends=False):
            crowded.take(table)
    facts["many_open"] = _measure(crowded, options.seconds, lambda: traffic.second(both_ends=True))
    del crowded
    for name, lost in (("half_lost", 0.5), ("flood", 0)):
        traffic.begin()
        pairing = Pairing(PairingOptions(open_max=options.open))
        facts[name] = _measure(
            pairing,
            options.seconds,
            partial(traffic.second, both_ends=name != "flood", lost=lost),
        )
    facts["memory_growth_mib"] = round((_resident_bytes() - before_bytes) / (1 << 20), 1)
    facts["memory_peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(facts, indent=2))


def _measure(
    pairing: Pairing, seconds: int, second: Callable[[], list[pa.Table]]
) -> dict[str, Any]:
    rows_count = pairs_count = unpaired_count = 0
    cpu_s = slowest_s = 0.0
    for _ in range(seconds):
        for table in second():
            started = time.process_time()
            outcome = pairing.take(table, tolerance_ns=50_000_000)
            took_s = time.process_time() - started
            cpu_s += took_s
            slowest_s = max(slowest_s, took_s)
            rows_count += table.num_rows
            pairs_count += outcome.pairs.num_rows
            unpaired_count += outcome.unpaired.num_rows
    return {
        "cpu_us_per_row": round(cpu_s / rows_count * 1e6, 3),
        "slowest_take_ms": round(slowest_s * 1e3, 1),
        "rows_count": rows_count,
        "pairs_count": pairs_count,
        "unpaired_count": unpaired_count,
        "open_count": pairing.open_count,
        "open_mib": round(pairing.open_bytes / (1 << 20), 1),
        "resident_mib": round(_resident_bytes() / (1 << 20), 1),
    }


def _joined(several: list[dict[str, np.ndarray[Any, Any]]]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: np.concatenate([one[name] for one in several]) for name in several[0]}


def _repeated(text: str, count: int) -> pa.Array:
    return pa.repeat(text, count)


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
