"""Sidecars whose clocks are wrong: callers and callees, as `emit-config envoy` wires them.

client ──► caller's sidecar ──mTLS──► callee's sidecar, which answers by itself
                 └────── records and counters ───────┘──► the collector
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.demo.authority import Authority
from tests.e2e import wired_proxy as wired
from tests.rig import configuration as envoy_config
from tests.rig.envoy import Envoy
from tests.rig.wrong_clock import WrongClock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.e2e.wired_proxy import Config

PUSHED_EVERY = "1s"
"""What `emit-config` prints has ten seconds: longer than a test should take."""
FLUSHED_EVERY = "1s"
"""Envoy's own; what `emit-config` prints has a quarter of a second."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A running sidecar and its clock."""

    envoy: Envoy
    clock: WrongClock
    ports: dict[str, int]


@contextlib.contextmanager
def running_sidecars(
    pairs: Mapping[tuple[str, str], tuple[int, int]],
    *,
    directory: Path,
    library: Path,
    collector_port: int,
) -> Iterator[dict[str, Sidecar]]:
    """Run callers and callees.

    Args:
        pairs: names of caller and callee, and how many nanoseconds each one's clock is ahead.
        directory: for their files.
        library: of ``build_wrong_clock``.
        collector_port: where they report, in the clear.
    """
    authority = Authority(directory / "certificates")
    [pieces] = wired.emit("envoy", "--address", f"{wired.LOOPBACK}:{collector_port}")
    sidecars: dict[str, Sidecar] = {}
    with contextlib.ExitStack() as stack:

        def start(name: str, config: Config, ahead_ns: int) -> Sidecar:
            clock = WrongClock(directory / f"{name}.clock", library=library, ahead_ns=ahead_ns)
            envoy = Envoy(
                name,
                config,
                directory=directory,
                environment={**os.environ, **clock.environment},
            )
            stack.enter_context(envoy)
            sidecars[name] = Sidecar(envoy, clock, envoy.ports())
            return sidecars[name]

        for (caller, callee), (caller_ns, callee_ns) in pairs.items():
            inbound = start(callee, _inbound(pieces, authority, callee), callee_ns)
            port = inbound.ports["inbound"]
            start(caller, _outbound(pieces, authority, caller, callee, port), caller_ns)
        yield sidecars


def node_id(name: str) -> str:
    """What a sidecar calls itself."""
    node: str = envoy_config.node(workload=name, namespace="shop", ip="127.0.0.1")["id"]
    return node


def _inbound(pieces: Config, authority: Authority, name: str) -> Config:
    tls = envoy_config.downstream_mtls(authority, authority.issue(f"ns/shop/sa/{name}"))
    manager = wired.http_manager(
        added=pieces["http_connection_manager"], routes=[wired.answer("/", 200)], policies=False
    )
    added = {**pieces["listener"], **pieces["tls_listener"]}
    inbound = wired.listener("inbound", [manager], added=added, tls=tls)
    return _bootstrap(pieces, name, inbound)


def _outbound(pieces: Config, authority: Authority, name: str, callee: str, port: int) -> Config:
    upstream = f"outbound|8080||{callee}.shop.svc.cluster.local"
    tls = envoy_config.upstream_mtls(authority, authority.issue(f"ns/shop/sa/{name}"))
    manager = wired.http_manager(
        added=pieces["http_connection_manager"],
        routes=[{"match": {"prefix": "/"}, "route": {"cluster": upstream}}],
        policies=False,
    )
    outbound = wired.listener("outbound", [manager], added=pieces["listener"])
    return _bootstrap(pieces, name, outbound, wired.cluster(upstream, port, tls=tls))


def _bootstrap(pieces: Config, name: str, listener: Config, *clusters: Config) -> Config:
    config = wired.bootstrap(listeners=[listener], clusters=[*pieces["clusters"], *clusters])
    config["node"] = envoy_config.node(workload=name, namespace="shop", ip="127.0.0.1")
    config |= pieces["bootstrap"] | {"stats_flush_interval": PUSHED_EVERY}
    _flush_logs(config)
    return config


def _flush_logs(config: Config) -> None:
    """Have access logs sent as seldom as Envoy does if it is not told otherwise."""
    logs = list(config["static_resources"]["listeners"][0].get("access_log", []))
    for chain in config["static_resources"]["listeners"][0]["filter_chains"]:
        for one in chain["filters"]:
            logs += one["typed_config"].get("access_log", [])
    for log in logs:
        log["typed_config"]["common_config"]["buffer_flush_interval"] = FLUSHED_EVERY
