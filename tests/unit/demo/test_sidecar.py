from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.demo.authority import Authority
from meshtrail.demo.listener_file import ListenerFile
from meshtrail.demo.loopback import Ports
from meshtrail.demo.reporting import AccessLogService, OtlpAccessLogger, process_wide, tracing
from meshtrail.demo.sidecar import (
    DOORS,
    MeshPlan,
    make_listeners,
    make_rbac_filters,
    make_sidecar_config,
)
from meshtrail.demo.workloads import CATALOG, CHECKOUT, CUSTOMERS, FRONTEND, PAYMENTS, WORKLOADS

if TYPE_CHECKING:
    from meshtrail.demo.workloads import Workload

Config = dict[str, Any]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> MeshPlan:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    return MeshPlan(
        ips={workload.name: f"127.0.9.{workload.host}" for workload in WORKLOADS},
        ports=Ports(),
        authority=authority,
        identities={one.name: authority.issue(f"ns/shop/sa/{one.name}") for one in WORKLOADS},
        collector=authority.issue("ns/meshtrail/sa/collector"),
        collector_port=4317,
        listener_files={},
    )


def make_config(workload: Workload, plan: MeshPlan) -> Config:
    return make_sidecar_config(workload, plan, listeners=ListenerFile(Path("/x/listeners.json")))


def clusters(workload: Workload, plan: MeshPlan) -> dict[str, Config]:
    config = make_config(workload, plan)
    return {cluster["name"]: cluster for cluster in config["static_resources"]["clusters"]}


def listeners(workload: Workload, plan: MeshPlan) -> dict[str, Config]:
    return {listener["name"]: listener for listener in make_listeners(workload, plan)}


def tls(part: Config) -> Config:
    context: Config = part["transport_socket"]["typed_config"]["common_tls_context"]
    return context


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_everything_leaves_from_the_workloads_own_address(
    plan: MeshPlan, workload: Workload
) -> None:
    for cluster in clusters(workload, plan).values():
        source = cluster["upstream_bind_config"]["source_address"]
        assert source["address"] == plan.ips[workload.name], cluster["name"]


def test_calls_show_the_callers_certificate_and_insist_on_the_callees(plan: MeshPlan) -> None:
    to_payments = clusters(CHECKOUT, plan)["outbound|8080||payments.shop.svc.cluster.local"]
    own = tls(to_payments)["tls_certificates"][0]["certificate_chain"]["filename"]
    assert own == str(plan.identities["checkout"].chain)
    [peer] = tls(to_payments)["validation_context"]["match_typed_subject_alt_names"]
    assert peer["matcher"]["exact"] == plan.identities["payments"].spiffe_id


def test_reports_go_out_with_the_sidecars_own_certificate_to_meshtrail_alone(
    plan: MeshPlan,
) -> None:
    collector = clusters(PAYMENTS, plan)["meshtrail"]
    own = tls(collector)["tls_certificates"][0]["certificate_chain"]["filename"]
    assert own == str(plan.identities["payments"].chain)
    [peer] = tls(collector)["validation_context"]["match_typed_subject_alt_names"]
    assert peer["matcher"]["exact"] == plan.collector.spiffe_id


def test_inbound_asks_for_a_certificate_and_reports_connections(plan: MeshPlan) -> None:
    inbound = listeners(CUSTOMERS, plan)["inbound"]
    [chain] = inbound["filter_chains"]
    assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True
    assert inbound["access_log"] == [AccessLogService().connections()]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_every_door_logs_and_two_sidecars_do_it_by_otlp(plan: MeshPlan, workload: Workload) -> None:
    is_otlp = workload in {CATALOG, PAYMENTS}
    logger = OtlpAccessLogger() if is_otlp else AccessLogService()
    doors = listeners(workload, plan)
    assert {*doors} <= {*DOORS}
    for door in doors.values():
        [manager] = door["filter_chains"][0]["filters"]
        assert door["access_log"] == [logger.connections()]
        assert manager["typed_config"]["access_log"] == [logger.http()]
        assert manager["typed_config"]["stat_prefix"] == door["stat_prefix"]


def test_spans_name_the_workload_and_counters_are_sent(plan: MeshPlan) -> None:
    config = make_config(PAYMENTS, plan)
    for door in listeners(PAYMENTS, plan).values():
        [manager] = door["filter_chains"][0]["filters"]
        assert manager["typed_config"]["tracing"] == tracing("payments.shop")
    assert config.items() >= process_wide().items()


def test_only_the_entrance_of_the_shop_takes_plaintext_from_others(plan: MeshPlan) -> None:
    public = [workload.name for workload in WORKLOADS if "public" in listeners(workload, plan)]
    assert public == [FRONTEND.name]


def test_deny_comes_before_allow_under_istios_names() -> None:
    ids = {workload.name: f"spiffe://x/{workload.name}" for workload in WORKLOADS}
    filters = make_rbac_filters(PAYMENTS.policies, ids=ids)
    rules = [one["typed_config"]["rules"] for one in filters]
    assert [rule["action"] for rule in rules] == ["DENY", "ALLOW"]
    assert [*rules[0]["policies"]] == ["ns[shop]-policy[payments-no-admin]-rule[0]"]
    [allow] = rules[1]["policies"].values()
    assert allow["principals"] == [
        {"authenticated": {"principal_name": {"exact": "spiffe://x/checkout"}}}
    ]


@pytest.mark.parametrize("workload", [FRONTEND, PAYMENTS], ids=lambda workload: workload.name)
def test_real_envoy_takes_the_configuration(
    plan: MeshPlan, workload: Workload, envoy_binary: Path, tmp_path: Path
) -> None:
    config = make_config(workload, plan)
    # What comes from a file is not validated.
    assert config.pop("dynamic_resources") == ListenerFile(Path("/x/listeners.json")).source()
    config["static_resources"]["listeners"] = make_listeners(workload, plan)
    file = tmp_path / "envoy.json"
    file.write_text(json.dumps(config))
    command = [str(envoy_binary), "--mode", "validate", "-c", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
