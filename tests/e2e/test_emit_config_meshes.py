"""What is printed for Consul and Kuma, as their control planes would hand it to a real Envoy.

Consul and Kuma themselves are not here: how each turns its resource into loggers is by a reading of
their source.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meshtrail.demo.authority import Authority, Identity
from meshtrail.model.entry import PayloadFormat
from meshtrail.model.event import TlsFailure
from tests.als_records import opened
from tests.e2e import wired_proxy as wired
from tests.e2e.logged_mesh import ARRIVAL_S_MAX, FRONTEND, PAYMENTS, events
from tests.e2e.wired_proxy import Caller, Config
from tests.rig.envoy import Envoy, find_binary
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Row = dict[str, Any]
MESHES = ("consul", "kuma")
FLUSHED = ("--file-flush-interval-msec", "50")
LINES_COUNT = {"consul": 3, "kuma": 3 + 4}
"""Two requests and a TCP connection; in Kuma a line for each connection besides, of which one never
got through its handshake."""
NO_ROUTE = {"response_flag_filter": {"flags": ["NR"]}}


def file_logger(path: str, log_format: Config, **beside: Config) -> Config:
    """A logger to a file."""
    kind = "access_loggers.file.v3.FileAccessLog"
    return wired.typed("envoy.access_loggers.file", kind, path=path, log_format=log_format) | beside


def logs_of_consul(path: Path) -> dict[str, list[Config]]:
    """By place: one format everywhere, and of listeners only what has no route."""
    [defaults] = filter(None, wired.emit("consul", "--access-log-file", str(path)))
    logs = defaults["spec"]["accessLogs"]
    log_format = {"json_format": json.loads(logs["jsonFormat"])}
    everything = [file_logger(logs["path"], log_format)]
    return {
        "filters": everything,
        "listener": [file_logger(logs["path"], log_format, filter=NO_ROUTE)],
    }


def logs_of_kuma(path: Path) -> dict[str, list[Config]]:
    """By place: the policy for what comes in, and the patch of listeners as it stands."""
    documents = list(filter(None, wired.emit("kuma", "--access-log-file", str(path))))
    [backend] = documents[0]["spec"]["rules"][0]["default"]["backends"]
    asked = backend["file"]["format"]
    log_format = {
        "json_format": {one["key"]: one["value"] for one in asked["json"]},
        "omit_empty_values": asked["omitEmptyValues"],
    }
    [modification] = documents[-1]["spec"]["default"]["appendModifications"]
    patch = yaml.safe_load(modification["listener"]["value"])
    return {
        "filters": [file_logger(backend["file"]["path"], log_format)],
        "listener": patch["accessLog"],
    }


LOGS_OF: dict[str, Callable[[Path], dict[str, list[Config]]]] = {
    "consul": logs_of_consul,
    "kuma": logs_of_kuma,
}


def proxy(
    logs: dict[str, list[Config]], authority: Authority, payments: Identity, echo_port: int
) -> Config:
    """A sidecar that takes HTTP and TCP, both from callers with certificates alone."""
    tls = wired.downstream_tls(authority, payments)
    of_filters, of_listener = {"access_log": logs["filters"]}, {"access_log": logs["listener"]}
    manager = wired.http_manager(added=of_filters, routes=[wired.answer("/", 200)])
    tcp = wired.tcp_proxy(added=of_filters, cluster="local_app")
    return wired.bootstrap(
        listeners=[
            wired.listener("http", [manager], added=of_listener, tls=tls),
            wired.listener("tcp", tcp, added=of_listener, tls=tls),
        ],
        clusters=[wired.cluster("local_app", echo_port)],
    )


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[Row]]]:
    """By mesh: the events of its lines."""
    directory = tmp_path_factory.mktemp("meshes")
    authority = Authority(directory / "certificates")
    payments = authority.issue("ns/shop/sa/payments", is_named_localhost=True)
    caller = Caller(authority.client_context(authority.issue("ns/shop/sa/frontend")))
    nobody = Caller(authority.client_context(None))
    found = {}
    with wired.running_echo_upstream() as echo_port:
        for mesh in MESHES:
            path = directory / f"{mesh}.lines"
            config = proxy(LOGS_OF[mesh](path), authority, payments, echo_port)
            with Envoy(mesh, config, directory=directory, options=FLUSHED) as envoy:
                ports = envoy.ports()
                assert caller.get(ports["http"], "/pay", {}) == 200
                assert caller.get(ports["http"], "/admin", {}) == 403
                assert caller.echo(ports["tcp"], b"settle") == b"settle"
                assert nobody.echo(ports["http"], b"GET / HTTP/1.1\r\n\r\n") == b""
                wait_for(path, LINES_COUNT[mesh])
            found[mesh] = rows_of(path)
        yield found


def wait_for(path: Path, count: int) -> None:
    wait_until(
        lambda: len(lines_of(path)) >= count,
        f"{count} lines are in {path.name}",
        seconds_max=ARRIVAL_S_MAX,
    )


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def rows_of(path: Path) -> list[Row]:
    records = [
        (f"{number}", PayloadFormat.ENVOY_JSON, line) for number, line in enumerate(lines_of(path))
    ]
    return list(events(records, opened(None, auth="none")).values())


@pytest.mark.parametrize("mesh", MESHES)
def test_every_line_is_an_event_and_none_has_a_problem(
    rows: dict[str, list[Row]], mesh: str
) -> None:
    assert len(rows[mesh]) == LINES_COUNT[mesh]
    assert [row.get("decode_error") for row in rows[mesh]] == [None] * LINES_COUNT[mesh]


@pytest.mark.parametrize("mesh", MESHES)
def test_request_says_who_called_whom_and_how_it_ended(
    rows: dict[str, list[Row]], mesh: str
) -> None:
    requests = {row["url_path"]: row for row in rows[mesh] if row["kind"] == "request"}
    assert set(requests) == {"/pay", "/admin"}
    for row in requests.values():
        assert (row["src_spiffe_id"], row["dst_spiffe_id"]) == (FRONTEND, PAYMENTS)
        assert row["tls_protocol_version"] == "1.3"
        assert row["duration"] % 1_000_000 == 0
    assert requests["/pay"]["http_response_status_code"] == 200
    denied = requests["/admin"]
    assert (denied["decision"], denied["policy_name"]) == ("denied", "no-admin")


@pytest.mark.parametrize("mesh", MESHES)
def test_tcp_connection_says_who_called(rows: dict[str, list[Row]], mesh: str) -> None:
    [row] = [row for row in rows[mesh] if row.get("envoy_access_log_type") == "TcpConnectionEnd"]
    assert (row["kind"], row["src_spiffe_id"]) == ("connection", FRONTEND)
    assert row["bytes_received"] == len(b"settle")


def test_failed_handshake_shows_in_kuma_by_the_patch_and_in_consul_nowhere(
    rows: dict[str, list[Row]],
) -> None:
    [failed] = [row for row in rows["kuma"] if row["kind"] == "handshake"]
    assert failed["tls_failure"] == TlsFailure.NO_PEER_CERTIFICATE
    assert [row for row in rows["consul"] if row["kind"] == "handshake"] == []


def test_otlp_of_kuma_is_a_configuration_that_envoy_takes(tmp_path: Path) -> None:
    documents = list(filter(None, wired.emit("kuma", "--otlp")))
    endpoint = documents[0]["spec"]["endpoint"]
    loggers = []
    for document in documents[1:3]:
        [rule] = document["spec"].get("rules") or document["spec"]["to"]
        [backend] = rule["default"]["backends"]
        values = [
            {"key": one["key"], "value": {"string_value": one["value"]}}
            for one in backend["openTelemetry"]["attributes"]
        ]
        loggers.append(
            wired.typed(
                "envoy.access_loggers.open_telemetry",
                "access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig",
                log_name="MeshAccessLog",
                grpc_service={"envoy_grpc": {"cluster_name": "otlp"}},
                attributes={"values": values},
            )
        )
    manager = wired.http_manager(
        added={"access_log": loggers}, routes=[wired.answer("/", 200)], policies=False
    )
    config = wired.bootstrap(
        listeners=[wired.listener("http", [manager], added={})],
        clusters=[wired.cluster("otlp", endpoint["port"], is_http2=True)],
    )
    assert not validate(config, tmp_path)


@pytest.mark.parametrize("mesh", MESHES)
def test_operator_that_envoy_does_not_know_is_refused(mesh: str, tmp_path: Path) -> None:
    logs = LOGS_OF[mesh](tmp_path / "lines")
    config = proxy(logs, *issued(tmp_path), echo_port=1)
    assert not validate(config, tmp_path)
    logs["filters"][0]["typed_config"]["log_format"]["json_format"]["wrong"] = "%NO_SUCH%"
    assert "NO_SUCH" in validate(config, tmp_path)


def issued(directory: Path) -> tuple[Authority, Identity]:
    authority = Authority(directory / "certificates")
    return authority, authority.issue("ns/shop/sa/payments")


def validate(config: Config, directory: Path) -> str:
    """What Envoy has against the configuration, every extension of it, without running it."""
    file = directory / "validated.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [str(find_binary()), "--mode", "validate", "-c", str(file), "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, env=dict(os.environ), check=False)
    with contextlib.suppress(OSError):
        file.unlink()
    return "" if done.returncode == 0 else done.stderr.decode(errors="replace") or "refused"
