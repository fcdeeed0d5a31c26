from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.sources.kubernetes.security_changes import classify_change, classify_request

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json


def found(resource: str, before: Json | None, after: Json | None, *, name: str = "n") -> set[str]:
    group = {"deployments": "apps", "cronjobs": "batch"}.get(resource, "")
    changes = classify_change(before, after, group=group, resource=resource, name=name)
    return {change.value for change in changes}


def labelled(**labels: str) -> Json:
    names = {"istio": "istio-injection", "rev": "istio.io/rev", "ps": POD_SECURITY}
    return {"metadata": {"labels": {names.get(key, key): value for key, value in labels.items()}}}


POD_SECURITY = "pod-security.kubernetes.io/enforce"
INJECT: Json = {"metadata": {"annotations": {"linkerd.io/inject": "enabled"}}}
NOT: Json = {"metadata": {"annotations": {"linkerd.io/inject": "disabled"}}}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (labelled(istio="enabled"), labelled(istio="disabled"), {"injection_disabled"}),
        (labelled(istio="enabled"), labelled(), {"injection_disabled"}),
        (labelled(rev="stable"), labelled(), {"injection_disabled"}),
        (labelled(), labelled(istio="enabled"), {"injection_enabled"}),
        (labelled(istio="enabled"), labelled(istio="disabled", rev="x"), {"injection_disabled"}),
        (labelled(istio="disabled"), labelled(), set()),
        (INJECT, NOT, {"injection_disabled"}),
        (None, labelled(istio="enabled"), {"injection_enabled"}),
        (None, labelled(istio="disabled"), {"injection_disabled"}),
        (None, labelled(team="a"), set()),
        (labelled(team="a"), labelled(team="b"), set()),
        (labelled(ps="restricted"), labelled(ps="privileged"), {"admission_weakened"}),
        (labelled(ps="baseline"), labelled(ps="restricted"), {"admission_strengthened"}),
        (labelled(istio="enabled"), None, set()),
    ],
)
def test_labels_of_a_namespace_say_who_has_a_proxy(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found("namespaces", before, after) == wanted


def service(kind: str = "ClusterIP", **more: object) -> Json:
    return {"spec": {"type": kind, "selector": {"app": "a"}, **more}}


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (None, service(), set()),
        (None, service("LoadBalancer"), {"exposed"}),
        (None, service(externalIPs=["192.0.2.1"]), {"exposed"}),
        (service(), service("NodePort"), {"exposed"}),
        (service("LoadBalancer"), service(), {"unexposed"}),
        (service("LoadBalancer"), None, {"unexposed"}),
        (service(), service(selector={"app": "b"}), {"rerouted"}),
        (service(), service(externalName="elsewhere"), {"rerouted"}),
        (service(), service(sessionAffinity="x"), set()),
    ],
)
def test_services_open_doors_and_send_elsewhere(
    before: Json | None, after: Json | None, wanted: set[str]
) -> None:
    assert found("services", before, after) == wanted


def pod(**said: object) -> Json:
    return {"spec": {"containers": [{"name": "c"}], **said}}


def container(**context: object) -> Json:
    return {"spec": {"containers": [{"name": "c", "securityContext": context}]}}


@pytest.mark.parametrize(
    ("after", "wanted"),
    [
        (pod(), set()),
        (pod(hostNetwork=True), {"privileged_workload"}),
        (pod(hostPID=True), {"privileged_workload"}),
        (pod(hostNetwork="yes"), set()),
        (pod(volumes=[{"hostPath": {"path": "/"}}]), {"privileged_workload"}),
        (pod(volumes=[{"emptyDir": {}}]), set()),
        (pod(initContainers=[{"securityContext": {"privileged": True}}]), {"privileged_workload"}),
        (container(privileged=True), {"privileged_workload"}),
        (container(capabilities={"add": ["SYS_ADMIN"]}), {"privileged_workload"}),
        (container(capabilities={"add": ["CHOWN"]}), set()),
        (pod() | labelled(**{"sidecar.istio.io/inject": "false"}), {"injection_disabled"}),
        (pod() | labelled(**{"sidecar.istio.io/inject": "true"}), set()),
    ],
)
def test_pods_and_their_templates_take_what_is_the_nodes(after: Json, wanted: set[str]) -> None:
    assert found("pods", None, after) == wanted
    assert found("deployments", None, {"spec": {"template": after}}) == wanted
    job: Json = {"spec": {"jobTemplate": {"spec": {"template": after}}}}
    assert found("cronjobs", None, job) == wanted
    assert found("pods", after, after) == found("pods", after, None) == set()


def test_pod_that_was_privileged_before_is_no_news_but_one_more_right_is() -> None:
    before, after = pod(hostNetwork=True), pod(hostNetwork=True, hostPID=True)
    assert found("pods", before, after) == {"privileged_workload"}
    assert found("pods", after, before) == set()


@pytest.mark.parametrize(
    ("resource", "name", "wanted"),
    [
        ("secrets", "cacerts", {"trust_root_changed"}),
        ("configmaps", "istio-ca-root-cert", {"trust_root_changed"}),
        ("configmaps", "coredns", {"rerouted"}),
        ("configmaps", "aws-auth", {"unclear"}),
        ("configmaps", "istio-sidecar-injector", {"unclear"}),
        ("configmaps", "mine", set()),
        ("secrets", "mine", set()),
    ],
)
def test_config_maps_and_secrets_are_what_their_names_say(
    resource: str, name: str, wanted: set[str]
) -> None:
    before, after = ({"data": {"a": value}} for value in "xy")
    assert found(resource, before, after, name=name) == wanted
    assert found(resource, before, before, name=name) == set()


def test_update_of_a_namespace_without_its_label_says_nothing_alone() -> None:
    # It may never have had one.
    for verb in ("update", "patch"):
        changes = classify_request(labelled(a="b"), group="", resource="namespaces", verb=verb)
        assert changes == ()
