"""What it costs to say who had an address at a nanosecond, and to fill events with it.

    ./dev bench inventory [--pods 100000] [--addresses 9000] [--rows 2000000]

Prints one JSON object. A day of pods that come and go on few addresses is made; what is said of
them comes in any order; then events are asked about, spread over the day and in the order of time,
half of them from few addresses. Beside it the floor: the address column dictionary-encoded, and one
take. Memory is what the index keeps.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from _checkout import ROOT  # type: ignore[import-not-found] # noqa: F401 - makes meshtrail importable

from meshtrail.correlate.workloads import ENRICH_COLUMNS, AddressHistory, enrich, pod_lifetimes
from meshtrail.model.event import BY_NAME
from tests.rig.pod_churn import BEGIN_NS, DAY_NS, PodChurn, churn

if TYPE_CHECKING:
    from collections.abc import Callable

_ERROR_NS = 20_000_000
_BATCH_ROWS = 65_536
_REPEATS = 3
_BUSY = 200


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pods", type=int, default=100_000, help="lifetimes")
    parser.add_argument("--addresses", type=int, default=9_000, help="that they share")
    parser.add_argument("--rows", type=int, default=2_000_000, help="events that are asked about")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    mesh = churn(pods_count=options.pods, addresses_count=options.addresses, seed=options.seed)
    said = mesh.events(seed=options.seed)
    facts: dict[str, Any] = {"pods": options.pods, "rows": options.rows}
    facts["workload_events"] = said.num_rows
    facts["lifetimes_us_per_event"] = _per(lambda: pod_lifetimes(said), said.num_rows, 1e6)
    lifetimes = pod_lifetimes(said)
    facts["index_us_per_lifetime"] = _per(
        lambda: AddressHistory(lifetimes), lifetimes.num_rows, 1e6
    )
    history = AddressHistory(lifetimes)
    events = _events(mesh, rows_count=options.rows, seed=options.seed)
    ip = events.column("src_ip").combine_chunks()
    at_ns = events.column("time").combine_chunks()
    cluster = pa.repeat(pa.scalar("east"), options.rows)
    error_ns = events.column("time_error").combine_chunks()
    asks: dict[str, Callable[[], object]] = {
        "floor_dictionary_and_take": lambda: _floor(ip, lifetimes.num_rows),
        "find": lambda: history.find(ip, at_ns),
        "find_with_clock_error": lambda: history.find(ip, at_ns, error_ns=error_ns),
        "find_in_a_cluster": lambda: history.find(ip, at_ns, cluster),
        "enrich_both_ends": lambda: _enrich(events, history),
    }
    facts["ns_per_row"] = {name: _per(ask, options.rows, 1e9) for name, ask in asks.items()}
    found = history.find(ip, at_ns, error_ns=error_ns)
    facts["answered_share_percent"] = round(100 * (1 - found.row.null_count / options.rows), 1)
    facts["certain_share_percent"] = round(100 * found.is_certain.true_count / options.rows, 1)
    facts["memory_peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps(facts, indent=2))


def _per(work: Callable[[], object], count: int, scale: float) -> float:
    """CPU of the process for each of some things, the best of a few times."""
    took = []
    for _ in range(_REPEATS):
        started = time.process_time()
        work()
        took.append(time.process_time() - started)
    return round(min(took) / count * scale, 2)


def _events(mesh: PodChurn, *, rows_count: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed + 1)
    at_ns = BEGIN_NS + np.sort(random.integers(0, DAY_NS, rows_count))
    addresses_count = len(mesh.addresses)
    is_busy = random.random((2, rows_count)) < 1 / 2
    places = random.integers(0, addresses_count, (2, rows_count))
    places = np.where(is_busy, places % _BUSY, places)
    known = {
        "time": at_ns,
        "received_time": at_ns,
        "time_offset": np.zeros(rows_count, dtype=np.int64),
        "time_error": np.full(rows_count, _ERROR_NS),
        "src_ip": mesh.addresses.take(pa.array(places[0])),
        "dst_ip": mesh.addresses.take(pa.array(places[1])),
    }
    return pa.table(
        {
            name: pa.array(known[name], BY_NAME[name].type)
            if name in known
            else pa.nulls(rows_count, BY_NAME[name].type)
            for name in ENRICH_COLUMNS
        }
    )


def _floor(ip: pa.Array, lifetimes_count: int) -> pa.Array:
    encoded = pc.dictionary_encode(ip)
    return pa.array(np.arange(lifetimes_count)).take(encoded.indices)


def _enrich(events: pa.Table, history: AddressHistory) -> None:
    for start in range(0, events.num_rows, _BATCH_ROWS):
        enrich(events.slice(start, _BATCH_ROWS), history)


if __name__ == "__main__":
    main()
