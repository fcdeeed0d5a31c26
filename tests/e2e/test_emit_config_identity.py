"""Each way to give a proxy its certificate works with a real Envoy, and is renewed as it says."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meshtrail.demo.authority import Authority, Identity
from tests.e2e import wired_proxy as wired
from tests.e2e.secret_server import running_secret_server
from tests.e2e.wired_proxy import LOOPBACK, Config
from tests.rig.envoy import Envoy, find_binary
from tests.rig.recorder import Recorder, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECONDS_MAX = 60.0
BEFORE, AFTER = "ns/shop/sa/before", "ns/shop/sa/after"
"""Two names for one proxy: so that the log shows which certificate it used."""


@dataclass
class Proxy:
    """What a proxy needs to be told, and how its certificate is renewed.

    Attributes:
        arguments: of the command.
        clusters: that the proxy has besides.
        renew: gives it the other certificate.
    """

    arguments: list[str]
    clusters: list[Config]
    renew: Callable[[Identity], None]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    recorder = Recorder(tmp_path)
    yield recorder
    recorder.kill()


def put(identity: Identity, folder: Path) -> None:
    """Place a certificate as Kubernetes does: a new folder, and a link renamed over the old one."""
    version = folder.with_name(f"{folder.name}-{identity.chain.stem}")
    version.mkdir()
    (version / "tls.crt").write_bytes(identity.chain.read_bytes())
    (version / "tls.key").write_bytes(identity.key.read_bytes())
    folder.mkdir(exist_ok=True)
    fresh = folder / "..fresh"
    fresh.symlink_to(version)
    fresh.rename(folder / "..data")
    for name in ("tls.crt", "tls.key"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@contextlib.contextmanager
def with_files(authority: Authority, identity: Identity, directory: Path) -> Iterator[Proxy]:
    folder = directory / "tls"
    put(identity, folder)
    files = ["--cert", f"{folder}/tls.crt", "--key", f"{folder}/tls.key"]
    yield Proxy([*files, "--ca", str(authority.bundle)], [], lambda new: put(new, folder))


@contextlib.contextmanager
def with_sds_dir(authority: Authority, identity: Identity, directory: Path) -> Iterator[Proxy]:
    with with_files(authority, identity, directory) as proxy:
        folder = directory / "sds"
        folder.mkdir()
        proxy.arguments += ["--sds-dir", str(folder)]
        yield proxy


@contextlib.contextmanager
def with_sds_cluster(authority: Authority, identity: Identity, directory: Path) -> Iterator[Proxy]:
    assert directory.is_dir()
    with running_secret_server(authority, identity) as (secrets, port):
        agent = wired.cluster("spire_agent", port, is_http2=True)
        yield Proxy(["--sds-cluster", "spire_agent"], [agent], secrets.renew)


def configure(
    proxy: Proxy, *, address: str, collector: str | None, directory: Path
) -> tuple[Config, Config]:
    """A whole configuration, with the files that come with it written; and the pieces alone."""
    peer = ["--collector-spiffe-id", collector] if collector else []
    pieces, *files = wired.emit("envoy", "--address", address, *proxy.arguments, *peer)
    for file in files:
        [secret] = file["resources"]
        path = directory / "sds" / f"{secret['name']}.yaml"
        path.write_text(yaml.safe_dump(file), encoding="utf-8")
    manager = wired.http_manager(
        added=pieces["http_connection_manager"], routes=[wired.answer("/", 200)], policies=False
    )
    tcp = wired.tcp_proxy(added=pieces["tcp_proxy"], cluster="meshtrail")
    listeners = [
        wired.listener("http", [manager], added=pieces["listener"]),
        wired.listener("tcp", tcp, added={**pieces["listener"], **pieces["tls_listener"]}),
    ]
    clusters = [*pieces["clusters"], *proxy.clusters]
    return wired.bootstrap(listeners=listeners, clusters=clusters), pieces


def reporters(recorder: Recorder, *, after: int = -1) -> set[Any]:
    """Who the streams are authenticated as that brought requests with larger indexes."""
    rows = recorder.search("kind:request")
    return {row["reporter_spiffe_id"] for row in rows if row["log_index"] > after}


@pytest.mark.parametrize(
    ("ready", "is_renewed"), [(with_files, False), (with_sds_dir, True), (with_sds_cluster, True)]
)
def test_proxy_reports_as_its_certificate_and_follows_renewal_where_it_says_so(
    ready: Callable[..., contextlib.AbstractContextManager[Proxy]],
    authority: Authority,
    recorder: Recorder,
    tmp_path: Path,
    *,
    is_renewed: bool,
) -> None:
    before, after = authority.issue(BEFORE), authority.issue(AFTER)
    collector = authority.issue("ns/meshtrail/sa/meshtrail")
    recorder.start(tls=(authority, collector))
    with ready(authority, before, tmp_path) as proxy:
        config, _ = configure(
            proxy,
            address=f"{LOOPBACK}:{recorder.port}",
            collector=collector.spiffe_id,
            directory=tmp_path,
        )
        with Envoy("proxy", config, directory=tmp_path) as envoy:
            send_until(envoy, lambda: reporters(recorder) == {before.spiffe_id})
            updates = context_updates(envoy)
            proxy.renew(after)
            if is_renewed:
                wait_until(
                    lambda: context_updates(envoy) > updates,
                    "Envoy has the new certificate",
                    seconds_max=SECONDS_MAX,
                )
            # A connection that stands keeps its certificate; the next one shows what Envoy has now.
            recorder.stop()
            recorder.start(tls=(authority, collector))
            seen = max(row["log_index"] for row in recorder.search("kind:request"))
            send_until(envoy, lambda: bool(reporters(recorder, after=seen)))
            expected = after if is_renewed else before
            assert reporters(recorder, after=seen) == {expected.spiffe_id}


def context_updates(envoy: Envoy) -> int:
    """How often Envoy was given a certificate for its connections to the collector."""
    return sum(envoy.counters("cluster.meshtrail.*ssl_context_update_by_sds").values())


def send_until(envoy: Envoy, condition: Callable[[], bool]) -> None:
    """Send requests until something holds: what is sent while nobody listens is lost."""

    def send_and_look() -> bool:
        assert wired.get_plain(envoy.ports()["http"], "/") == 200
        return condition()

    wait_until(send_and_look, "the request is sealed", seconds_max=SECONDS_MAX, poll_s=0.3)


def test_collector_that_is_somebody_else_gets_no_record(
    authority: Authority, recorder: Recorder, tmp_path: Path
) -> None:
    # Of the same authority, as every workload of the mesh is.
    impostor = authority.issue("ns/dev/sa/rogue", is_named_localhost=True)
    recorder.start(tls=(authority, impostor))
    with with_files(authority, authority.issue(BEFORE), tmp_path) as proxy:
        config, _ = configure(
            proxy,
            address=f"{LOOPBACK}:{recorder.port}",
            collector="spiffe://cluster.local/ns/meshtrail/sa/meshtrail",
            directory=tmp_path,
        )
        with Envoy("proxy", config, directory=tmp_path) as envoy:

            def is_refused() -> bool:
                assert wired.get_plain(envoy.ports()["http"], "/") == 200
                return sum(envoy.counters("meshtrail.ssl.fail_verify_san").values()) > 0

            wait_until(is_refused, "Envoy refuses the collector", seconds_max=SECONDS_MAX)
    assert recorder.search("kind:request") == []


@pytest.mark.parametrize("address", ["127.0.0.1:4317", "[::1]:4317", "trail.example.com:4317"])
@pytest.mark.parametrize("collector", [None, "spiffe://cluster.local/ns/meshtrail/sa/meshtrail"])
@pytest.mark.parametrize("ready", [with_files, with_sds_dir, with_sds_cluster])
def test_every_variant_is_a_configuration_that_envoy_takes(
    ready: Callable[..., contextlib.AbstractContextManager[Proxy]],
    collector: str | None,
    address: str,
    authority: Authority,
    tmp_path: Path,
) -> None:
    with ready(authority, authority.issue(BEFORE), tmp_path) as proxy:
        config, _ = configure(proxy, address=address, collector=collector, directory=tmp_path)
    validate(config, tmp_path)


def test_plaintext_is_a_configuration_that_envoy_takes(tmp_path: Path) -> None:
    config, pieces = configure(
        Proxy([], [], lambda _: None), address="localhost:4317", collector=None, directory=tmp_path
    )
    validate(config, tmp_path)
    assert "transport_socket" not in pieces["clusters"][0]


def validate(config: Config, directory: Path) -> None:
    """Have Envoy read the configuration, every extension of it, without running it."""
    file = directory / "validated.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [str(find_binary()), "--mode", "validate", "-c", str(file), "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
