from __future__ import annotations

import time

import pytest

from meshtrail.sources.kubernetes.audit_values import (
    Binding,
    parse_binding,
    parse_query,
    parse_uuid,
)


@pytest.mark.parametrize(
    ("reason", "binding"),
    [
        (
            'RBAC: allowed by ClusterRoleBinding "a:b" of ClusterRole "r" to User "u"',
            Binding("ClusterRoleBinding", "a:b"),
        ),
        (
            'RBAC: allowed by RoleBinding "name/ns" of Role "r" to ServiceAccount "sa/ns"',
            Binding("RoleBinding", "name", "ns"),
        ),
        (
            'RBAC: allowed by RoleBinding "a\\"b/ns" of ClusterRole "r" to Group "g"',
            Binding("RoleBinding", 'a"b', "ns"),
        ),
        ("", Binding()),
        ("RBAC: allowed by ClusterRoleBinding", Binding()),
        ('x RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "r" to User "u"', Binding()),
    ],
)
def test_binding_is_read_from_the_reason_of_a_decision(reason: str, binding: Binding) -> None:
    assert parse_binding(reason) == binding


def test_reason_made_to_be_searched_for_long_is_not() -> None:
    begin = time.perf_counter()
    assert parse_binding('RBAC: allowed by RoleBinding "' + '\\"' * 500_000) == Binding()
    assert time.perf_counter() - begin < 1


def test_uuid_is_read_in_its_one_form() -> None:
    text = "841d3e6d-90d2-43df-8da4-684738bee3d5"
    assert parse_uuid(text) == bytes.fromhex("841d3e6d90d243df8da4684738bee3d5")
    for other in (text.upper(), text.replace("-", ""), f"{text}\n", "", "x"):
        assert parse_uuid(other) is None


def test_query_is_read_as_far_as_anyone_writes_one() -> None:
    assert parse_query("command=sh&command=-c&tty=") == {"command": ["sh", "-c"], "tty": [""]}
    assert parse_query("a&" * 1000) == {}
    assert parse_query("a=" + "x" * 100_000) == {}
