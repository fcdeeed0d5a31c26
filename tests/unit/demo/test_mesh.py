from __future__ import annotations

from typing import TYPE_CHECKING

from meshtrail.demo.authority import Authority
from meshtrail.demo.loopback import Ports
from meshtrail.demo.mesh import Mesh, make_behaviour
from meshtrail.demo.sidecar import MeshPlan
from meshtrail.demo.workloads import CHECKOUT, WORKLOADS

if TYPE_CHECKING:
    from pathlib import Path


def make_plan(directory: Path) -> MeshPlan:
    authority = Authority(directory)
    return MeshPlan(
        ips={workload.name: f"127.0.9.{workload.host}" for workload in WORKLOADS},
        ports=Ports(),
        authority=authority,
        identities={},
        collector=authority.issue("ns/meshtrail/sa/collector"),
        collector_port=4317,
        listener_files={},
    )


def test_service_listens_and_calls_at_its_own_address_through_its_own_sidecar(
    tmp_path: Path,
) -> None:
    plan = make_plan(tmp_path)
    behaviour = make_behaviour(CHECKOUT, plan)
    assert behaviour.ip == plan.ips["checkout"]
    assert (behaviour.port, behaviour.outbound_port) == (8080, 15_001)
    assert behaviour.hosts["payments"] == "payments.shop.svc.cluster.local"


def test_customers_come_in_at_the_public_port_of_the_frontend(tmp_path: Path) -> None:
    mesh = Mesh(
        plan=make_plan(tmp_path), sidecars={}, origin="shop/demo/1", http="", browser_ips=()
    )
    assert mesh.entrance == ("127.0.9.11", 8000)
