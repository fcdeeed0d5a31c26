from __future__ import annotations

import re

import yaml

from meshtrail.sources.counter_families import COLLECTOR_CLUSTER, FAMILIES
from meshtrail.wiring.counters import NEEDED, format_bootstrap, format_lean_bootstrap
from meshtrail.wiring.envoy import CLUSTER


def is_needed(name: str) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in NEEDED)


def test_every_counter_that_is_kept_is_sent_by_a_lean_proxy() -> None:
    for family in FAMILIES:
        door = ["a-meshtrail.b"] if family.scope else []
        name = ".".join(filter(None, [family.scope, *door, family.tail]))
        assert is_needed(name), name


def test_lean_proxy_makes_no_counters_that_count_no_records() -> None:
    for name in (
        "cluster.outbound|80||shop.svc.cluster.local.upstream_rq_total",
        "cluster_manager.cluster_added",
        "http.inbound.downstream_rq_2xx",
        "listener.plain.downstream_cx_length_ms",
        "server.memory_allocated",
    ):
        assert not is_needed(name), name


def test_patterns_stand_in_the_yaml_as_they_are() -> None:
    config = yaml.safe_load(format_lean_bootstrap())["lean_bootstrap"]["stats_config"]
    patterns = config["stats_matcher"]["inclusion_list"]["patterns"]
    assert tuple(item["safe_regex"]["regex"] for item in patterns) == NEEDED


def test_counters_are_sent_as_they_are_since_the_start_and_by_full_names() -> None:
    config = yaml.safe_load(format_bootstrap("c"))["bootstrap"]
    [sink] = config["stats_sinks"]
    settings = sink["typed_config"]
    # Deltas, tags and batches would each make a push harder to hold records against.
    assert settings.keys() == {"@type", "transport_api_version", "grpc_service"}
    assert config["stats_flush_interval"] == "10s"


def test_cluster_that_is_printed_is_known_for_the_collectors() -> None:
    assert COLLECTOR_CLUSTER in CLUSTER
