from __future__ import annotations

import time

import pytest

from meshtrail.sources.kubernetes.mesh_names import is_copied, is_mesh_config, is_trust_root


@pytest.mark.parametrize(
    "name", ["istio", "istio-canary", "istio-sidecar-injector", "linkerd-config", "cilium-config"]
)
def test_configuration_of_meshes_is_known_by_name(name: str) -> None:
    assert is_mesh_config("configmaps", name)
    assert not is_mesh_config("secrets", name)
    assert not is_mesh_config("configmaps", f"my-{name}")


@pytest.mark.parametrize(
    ("resource", "name"),
    [
        ("configmaps", "istio-ca-root-cert"),
        ("configmaps", "linkerd-identity-trust-roots"),
        ("configmaps", "kube-root-ca.crt"),
        ("secrets", "cacerts"),
        ("secrets", "istio-ca-secret"),
        ("secrets", "istio-remote-secret-east"),
        ("secrets", "consul-ca-key"),
        ("secrets", "consul-prod-ca-cert"),
        ("secrets", "default-ca-builtin-cert-ca-1"),
    ],
)
def test_roots_of_trust_are_known_by_name(resource: str, name: str) -> None:
    assert is_trust_root(resource, name)
    assert not is_trust_root("services", name)


def test_roots_that_controllers_copy_are_told_from_those_that_stand_once() -> None:
    assert is_copied("istio-ca-root-cert")
    assert not is_copied("linkerd-identity-trust-roots")


def test_names_made_to_be_searched_for_long_are_not() -> None:
    begin = time.perf_counter()
    assert not is_mesh_config("configmaps", "consul-" + "config" * 100_000 + "!")
    assert not is_trust_root("secrets", "-ca-builtin-" * 100_000)
    assert time.perf_counter() - begin < 1
