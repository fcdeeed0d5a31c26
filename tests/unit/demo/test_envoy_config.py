from __future__ import annotations

from meshtrail.demo import envoy_config
from meshtrail.demo.reporting import AccessLogService


def test_connections_of_a_cluster_leave_from_the_address_it_was_given() -> None:
    plain = envoy_config.cluster("payments", 15_006, ip="127.0.1.14")
    bound = envoy_config.cluster("payments", 15_006, ip="127.0.1.14", source_ip="127.0.1.13")
    assert "upstream_bind_config" not in plain
    source = bound["upstream_bind_config"]["source_address"]
    assert source == {"address": "127.0.1.13", "port_value": 0}


def test_listener_and_admin_take_a_free_port_unless_told_where() -> None:
    free = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    told = envoy_config.address(15_006, ip="127.0.1.14")
    assert envoy_config.listener("in", [])["address"] == free
    assert envoy_config.listener("in", [], at=told)["address"] == told
    node = envoy_config.node(workload="payments", namespace="shop", ip="127.0.1.14")
    assert envoy_config.bootstrap(node=node, listeners=[], clusters=[])["admin"]["address"] == free
    whole = envoy_config.bootstrap(node=node, listeners=[], clusters=[], admin=told)
    assert whole["admin"]["address"] == told


def test_routes_without_hosts_are_for_all_of_them() -> None:
    log = AccessLogService().http()
    routes = [envoy_config.route("/", "payments")]
    http = envoy_config.http_filter("in", access_log=log, routes=routes)
    [host] = http["typed_config"]["route_config"]["virtual_hosts"]
    assert (host["domains"], host["routes"]) == (["*"], routes)


def test_router_stands_behind_the_filters_that_may_refuse() -> None:
    rbac = envoy_config.http_rbac("DENY", {})
    log = AccessLogService().http()
    http = envoy_config.http_filter("in", access_log=log, http_filters=[rbac])
    names = [one["name"] for one in http["typed_config"]["http_filters"]]
    assert names == ["envoy.filters.http.rbac", "envoy.filters.http.router"]


def test_policy_without_callers_or_paths_is_for_anyone_and_anything() -> None:
    policy = envoy_config.policy()
    assert policy == {"permissions": [{"any": True}], "principals": [{"any": True}]}
