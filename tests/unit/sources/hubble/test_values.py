from __future__ import annotations

from meshtrail.sources.hubble.values import (
    NodeFacts,
    read_dns,
    read_labels,
    read_node,
    read_policies,
    read_workloads,
)


def test_of_equal_labels_the_first_counts_and_foreign_sources_say_nothing() -> None:
    facts = read_labels('["k8s:version=1","version=2","cidr:version=3","reserved:host"]')
    assert (facts.version, facts.entity) == ("1", "host")
    assert read_labels('["cidr:io.kubernetes.pod.namespace=x"]').namespace is None


def test_labels_that_are_no_list_say_nothing() -> None:
    assert not any(read_labels("reserved:host"))
    assert not any(read_labels('{"a":"reserved:host"}'))


def test_workloads_are_joined_once_each() -> None:
    assert read_workloads('[{"name":"a"},{"name":"b"},{"name":"a"},5,{}]') == "a,b"
    assert read_workloads("{}") is None


def test_a_node_may_have_its_cluster_before_it() -> None:
    assert read_node("east/worker") == NodeFacts("worker", "east")
    assert read_node("worker") == NodeFacts("worker", None)
    assert read_node("/") == NodeFacts(None, None)


def test_a_policy_without_a_name_is_a_policy() -> None:
    facts = read_policies("[{}]")
    assert (facts.are_there, facts.names) == (True, None)
    assert not any(read_policies("[]"))


def test_the_root_of_dns_is_asked_for_by_its_dot() -> None:
    assert read_dns('{"query":"."}').question == "."
    assert read_dns('{"query":"a.b."}').question == "a.b"
