"""A mesh in which nothing is wrong: two callers and two callees, one pair reporting over each door.

    client ──► caller's sidecar ──mTLS──► callee's sidecar ──► its applications
                  │                            ▲
                  └──► outside, not meshed     └── a client outside, in the clear

Each sidecar is wired as `meshtrail emit-config envoy` prints it, has an address of its own, and is
let alone. What goes through ends in every ordinary way.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from meshtrail.demo.authority import Authority
from meshtrail.demo.loopback import LoopbackBlock
from tests.e2e import wired_proxy as wired
from tests.e2e.wired_proxy import LOOPBACK
from tests.rig import configuration as envoy_config
from tests.rig.envoy import Envoy
from tests.rig.steady_load import SteadyLoad, exchange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.e2e.wired_proxy import Config
    from tests.rig.recorder import Recorder

PAIRS = (("web", "cart", ()), ("orders", "stock", ("--otlp",)))
"""Caller, callee, and how both report."""
HOSTS = {"web": 11, "cart": 12, "orders": 13, "stock": 14, "outside": 80, "client": 90}
RATE = 20.0
ROUND_S = 1.0
GIVEN_UP_AFTER_S = 0.05
LAST_S = 150.0
"""Envoy ends a request on which nothing moves for five minutes, and tells of it each minute."""
SLOW_S = 0.3


@dataclass(frozen=True)
class Applications:
    """What is behind the sidecar of a callee.

    Attributes:
        ports: ``flaky`` refuses every other request, ``slow`` takes its time, ``last`` answers once
            it may, ``echo`` is TCP.
        may_answer: whether the last one may.
    """

    ports: Mapping[str, int]
    may_answer: threading.Event


@dataclass
class Pair:
    """A caller and a callee, and what their records have to be.

    Attributes:
        tcp_port, http_port: of the caller's sidecar, for its application.
        public: address and port of the callee's sidecar, for anybody in the clear.
        made: requests through each of the two, by its name: each has a record.
        both_made: of them, those that go through both.
    """

    caller: str
    callee: str
    applications: Applications
    http_port: int
    tcp_port: int
    public: tuple[str, int]
    client_ip: str
    made: Counter[str] = field(default_factory=Counter)
    both_made: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextlib.contextmanager
    def busy(self, user_agent: str) -> Iterator[None]:
        """Traffic of all kinds while the block runs; a connection lasts as long."""
        ending = threading.Event()
        with (
            ThreadPoolExecutor(2) as pool,
            socket.create_connection((LOOPBACK, self.tcp_port)) as tcp,
            SteadyLoad(self.http_port, rate=RATE) as load,
        ):
            tcp.sendall(b"settle")
            loops = [
                pool.submit(self._keep_calling, user_agent, ending),
                pool.submit(self._keep_lasting, ending),
            ]
            try:
                yield
            finally:
                ending.set()
        self._count(both=load.answered_count)
        for loop in loops:
            loop.result()

    def _keep_calling(self, user_agent: str, ending: threading.Event) -> None:
        while not ending.wait(ROUND_S):
            self._call_once_each(user_agent)

    def _keep_lasting(self, ending: threading.Event) -> None:
        """One request after the other that is answered late."""
        may_answer = self.applications.may_answer
        while not ending.is_set():
            may_answer.clear()
            with socket.create_connection((LOOPBACK, self.http_port)) as stream:
                stream.sendall(b"GET /last HTTP/1.1\r\nhost: x\r\n\r\n")
                ending.wait(LAST_S)
                may_answer.set()
                stream.settimeout(wired.ANSWER_S_MAX)
                assert stream.recv(4096).startswith(b"HTTP/1.1 200")
            self._count(both=1)

    def _call_once_each(self, user_agent: str) -> None:
        """One of everything that ends in another way than the steady load."""
        assert wired.get_plain(self.http_port, "/flaky") == 200
        # The attempt that was refused has a record of its own where it was.
        self._count(refused=1)
        assert wired.get_plain(self.http_port, "/admin") == 403
        assert wired.get_plain(self.http_port, "/slow") == 200
        with socket.create_connection((LOOPBACK, self.http_port)) as stream:
            stream.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
            time.sleep(GIVEN_UP_AFTER_S)  # until the callee has it: a caller loses patience
            wired.reset_on_close(stream)
        self._count(both=4)
        assert wired.get_plain(self.http_port, "/local") == 418
        assert wired.get_plain(self.http_port, "/outside") == 200
        self._count(caller=2)
        with socket.create_connection(self.public, source_address=(self.client_ip, 0)) as stream:
            head = f"GET / HTTP/1.1\r\nhost: x\r\nuser-agent: {user_agent}\r\n\r\n"
            exchange(stream, head.encode())
        self._count(callee=1)
        assert wired.echo_plain(self.tcp_port, b"settle") == b"settle"

    def _count(self, *, both: int = 0, caller: int = 0, callee: int = 0, refused: int = 0) -> None:
        with self._lock:
            self.made.update({self.caller: both + caller, self.callee: both + callee + refused})
            self.both_made.update({self.caller: both, self.callee: both + refused})


@dataclass
class CleanMesh:
    """The running mesh."""

    pairs: list[Pair]

    @contextlib.contextmanager
    def busy(self, user_agent: str) -> Iterator[None]:
        """Traffic through all pairs while the block runs.

        Args:
            user_agent: of who calls from outside.
        """
        with contextlib.ExitStack() as stack:
            for pair in self.pairs:
                stack.enter_context(pair.busy(user_agent))
            yield

    def made(self) -> Counter[str]:
        """As of ``Pair``, of all."""
        return sum((pair.made for pair in self.pairs), Counter())

    def both_made(self) -> Counter[str]:
        """As of ``Pair``, of all."""
        return sum((pair.both_made for pair in self.pairs), Counter())


@contextlib.contextmanager
def running_clean_mesh(
    recorder: Recorder, directory: Path, *, counted_every_s: int
) -> Iterator[CleanMesh]:
    """Run it; gone when the block ends.

    Args:
        recorder: whom all report to, in the clear.
        directory: of their files.
        counted_every_s: how often their counters are sent.
    """
    authority = Authority(directory / "certificates")
    with contextlib.ExitStack() as stack:
        block = stack.enter_context(LoopbackBlock())
        ips = {name: block.ip(host) for name, host in HOSTS.items()}
        outside_port = stack.enter_context(
            wired.running_upstream(wired.answering(lambda: b"200 OK"), ip=ips["outside"])
        )
        pairs = []
        for caller, callee, options in PAIRS:
            [pieces] = wired.emit(
                "envoy", "--address", f"{LOOPBACK}:{recorder.port}", "--service-name", "x", *options
            )
            pieces["bootstrap"]["stats_flush_interval"] = f"{counted_every_s}s"
            applications = stack.enter_context(_running_applications())
            plan = _Plan(pieces, authority, ips, directory)
            inbound = stack.enter_context(plan.callee(callee, applications.ports))
            ports = inbound.ports()
            outbound = stack.enter_context(plan.caller(caller, callee, ports, outside_port))
            at_caller = outbound.ports()
            pairs.append(
                Pair(
                    caller,
                    callee,
                    applications,
                    http_port=at_caller["outbound"],
                    tcp_port=at_caller["outbound-tcp"],
                    public=(ips[callee], ports["public"]),
                    client_ip=ips["client"],
                )
            )
        yield CleanMesh(pairs)


@dataclass(frozen=True)
class _Plan:
    pieces: Config
    authority: Authority
    ips: Mapping[str, str]
    directory: Path

    def callee(self, name: str, ports: Mapping[str, int]) -> Envoy:
        identity = self.authority.issue(f"ns/shop/sa/{name}")
        routes = [
            {"match": {"prefix": f"/{one}"}, "route": {"cluster": one, "timeout": "0s"}}
            for one in ("flaky", "slow", "last")
        ]
        manager = self._manager([*routes, wired.answer("/", 200)], policies=True)
        tls = wired.downstream_tls(self.authority, identity)
        tcp = wired.tcp_proxy(added=self.pieces["tcp_proxy"], cluster="echo")
        listeners = [
            self._listener(name, "inbound", [manager], tls=tls),
            self._listener(name, "inbound-tcp", tcp, tls=tls),
            self._listener(name, "public", [manager]),
        ]
        clusters = [wired.cluster(one, port) for one, port in ports.items()]
        return self._envoy(name, listeners, clusters)

    def caller(self, name: str, callee: str, ports: Mapping[str, int], outside_port: int) -> Envoy:
        identity = self.authority.issue(f"ns/shop/sa/{name}")
        to_callee = f"outbound|8080||{callee}.shop.svc.cluster.local"
        again = {"retry_on": "retriable-status-codes", "retriable_status_codes": [503]}
        routes = [
            wired.answer("/local", 418),
            envoy_config.route("/outside", "outside"),
            {
                "match": {"prefix": "/"},
                "route": {"cluster": to_callee, "timeout": "0s", "retry_policy": again},
            },
        ]
        tcp = wired.tcp_proxy(added=self.pieces["tcp_proxy"], cluster="tcp")
        listeners = [
            wired.listener("outbound", [self._manager(routes)], added=self.pieces["listener"]),
            wired.listener("outbound-tcp", tcp, added=self.pieces["listener"]),
        ]
        tls = envoy_config.upstream_mtls(self.authority, identity)
        here, there = self.ips[name], self.ips[callee]
        clusters = [
            envoy_config.cluster(cluster, port, ip=there, source_ip=here, transport_socket=tls)
            for cluster, port in ((to_callee, ports["inbound"]), ("tcp", ports["inbound-tcp"]))
        ]
        clusters.append(
            envoy_config.cluster("outside", outside_port, ip=self.ips["outside"], source_ip=here)
        )
        return self._envoy(name, listeners, clusters)

    def _manager(self, routes: list[Config], *, policies: bool = False) -> Config:
        added = {**self.pieces["http_connection_manager"], **self.pieces["http_tracing"]}
        return wired.http_manager(added=added, routes=routes, policies=policies)

    def _listener(
        self, workload: str, name: str, filters: list[Config], *, tls: Config | None = None
    ) -> Config:
        added = {**self.pieces["listener"], **(self.pieces["tls_listener"] if tls else {})}
        listener = wired.listener(name, filters, added=added, tls=tls)
        listener["address"] = envoy_config.address(0, ip=self.ips[workload])
        return listener

    def _envoy(self, name: str, listeners: list[Config], clusters: list[Config]) -> Envoy:
        reporting = self.pieces["clusters"]
        config = wired.bootstrap(listeners=listeners, clusters=[*reporting, *clusters])
        config["node"] = envoy_config.node(workload=name, namespace="shop", ip=self.ips[name])
        config |= self.pieces["bootstrap"]
        return Envoy(name, config, directory=self.directory)


@contextlib.contextmanager
def _running_applications() -> Iterator[Applications]:
    may_answer, is_busy = threading.Event(), threading.Event()

    def flaky() -> bytes:
        if is_busy.is_set():
            is_busy.clear()
            return b"200 OK"
        is_busy.set()
        return b"503 Busy"

    def slow() -> bytes:
        time.sleep(SLOW_S)  # what it is for
        return b"200 OK"

    def last() -> bytes:
        may_answer.wait()
        return b"200 OK"

    with contextlib.ExitStack() as stack:
        ports = {
            answer.__name__: stack.enter_context(wired.running_upstream(wired.answering(answer)))
            for answer in (flaky, slow, last)
        }
        ports["echo"] = stack.enter_context(wired.running_echo_upstream())
        stack.callback(may_answer.set)
        yield Applications(ports, may_answer)
