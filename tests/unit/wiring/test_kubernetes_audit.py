from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.wiring import AuditPart, AuditWiring, format_kubernetes_audit
from tests.unit.wiring.wirings import AUDIT, DOOR


def documents(name: str, part: AuditPart | None = None) -> list[dict[str, Any]]:
    text = format_kubernetes_audit(AUDIT[name], part=part)
    return [document for document in yaml.safe_load_all(text) if document is not None]


def test_policy_omits_the_stage_that_says_nothing_yet_and_keeps_the_begin_of_sessions() -> None:
    [policy] = documents("kubernetes-audit", "policy")
    assert policy["omitStages"] == ["RequestReceived"]
    assert policy["omitManagedFields"] is True


def test_webhook_sends_over_tls_to_the_path_of_audit_events() -> None:
    [config] = documents("kubernetes-audit", "webhook")
    [cluster] = config["clusters"]
    assert cluster["cluster"]["server"] == (
        "https://meshtrail.meshtrail.svc.cluster.local:4318/v1/records/kubernetes-audit"
    )
    # Parameters would be dropped by the client of an API server.
    assert "?" not in cluster["cluster"]["server"]


@pytest.mark.parametrize(
    ("name", "user"),
    [
        (
            "kubernetes-audit",
            {
                "client-certificate": "/etc/kubernetes/meshtrail/tls.crt",
                "client-key": "/etc/kubernetes/meshtrail/tls.key",
            },
        ),
        ("kubernetes-audit-token", {"tokenFile": "/etc/meshtrail/token"}),
    ],
)
def test_api_server_shows_a_certificate_or_a_token(name: str, user: dict[str, str]) -> None:
    [config] = documents(name, "webhook")
    assert config["users"] == [{"name": "kube-apiserver", "user": user}]
    [context] = config["contexts"]
    assert context["name"] == config["current-context"]
    assert context["context"] == {"cluster": "meshtrail", "user": "kube-apiserver"}


def test_both_files_are_those_that_the_flags_name() -> None:
    text = format_kubernetes_audit(AUDIT["kubernetes-audit"])
    head, policy, webhook = text.split("---\n")
    for flag, document in (("audit-policy-file", policy), ("audit-webhook-config-file", webhook)):
        [path] = [
            line.partition("=")[2] for line in head.split("\n") if line.startswith(f"#   --{flag}=")
        ]
        assert document.startswith(f"# {path}: ")


@pytest.mark.parametrize(
    "changed",
    [
        {"token": "/t"},
        {"cert": None},
        {"cert": None, "key": None},
        {"ca": "ca.crt"},
        {"cert": None, "key": None, "token": "t\n"},
    ],
)
def test_neither_both_nor_a_path_that_cannot_stand_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        AuditWiring(collector=DOOR, **changed)
