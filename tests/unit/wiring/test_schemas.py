"""Every document that is printed for others, against the schema of that name and version."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.unit.wiring import schemas
from tests.unit.wiring.wirings import TEXTS

KUBERNETES = ("1.29", "1.31", "1.33", "1.35", "1.37")
"""Whose own schemas kubernetes-validate carries."""

SCHEMA_OF = {
    "Policy": schemas.AUDIT_POLICY,
    "Config": schemas.KUBECONFIG,
    "ProxyDefaults": schemas.PROXY_DEFAULTS,
    "MeshAccessLog": schemas.ACCESS_LOG,
    "MeshProxyPatch": schemas.PROXY_PATCH,
    "MeshTrace": schemas.TRACE,
    "MeshOpenTelemetryBackend": schemas.OTLP_BACKEND,
    "CiliumNetworkPolicy": schemas.NETWORK_POLICY,
}
VALUES_OF = {
    "cilium": schemas.CILIUM_VALUES,
    "linkerd": schemas.LINKERD_VALUES,
    "ztunnel": schemas.ZTUNNEL_VALUES,
}
OF_OTHERS = [name for name in TEXTS if not name.startswith(("envoy", "istio"))]
DOCUMENTS = [
    pytest.param(name, document, id=f"{name}-{number}")
    for name in OF_OTHERS
    for number, document in enumerate(yaml.safe_load_all(TEXTS[name]))
    if document is not None
]


def schema_of(name: str, document: dict[str, Any]) -> schemas.Schema | None:
    """The schema of a document; None for Kubernetes' own kinds."""
    if "kind" not in document:
        return schemas.SCHEMAS[VALUES_OF[name]]
    found = SCHEMA_OF.get(document["kind"])
    return None if found is None else schemas.SCHEMAS[found]


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_document_is_what_its_schema_takes(name: str, document: dict[str, Any]) -> None:
    schema = schema_of(name, document)
    if schema is not None:
        jsonschema.validate(document, schema, jsonschema.Draft202012Validator)
        return
    for version in KUBERNETES:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize(("name", "document"), DOCUMENTS)
def test_schema_refuses_any_name_in_another_spelling(name: str, document: dict[str, Any]) -> None:
    schema = schema_of(name, document)
    if schema is None:
        return
    validator = jsonschema.Draft202012Validator(schema)
    for wrong in misspelt(document):
        assert not validator.is_valid(wrong)


def misspelt(document: dict[str, Any]) -> list[dict[str, Any]]:
    """The document with each of its names once in another spelling."""
    wrong = []
    for path in paths_of(document):
        copied = copy.deepcopy(document)
        parent: Any = copied
        for step in path[:-1]:
            parent = parent[step]
        parent[f"{path[-1]}x"] = parent.pop(path[-1])
        wrong.append(copied)
    return wrong


def paths_of(value: object) -> list[list[Any]]:
    """Where names stand; of long lists the first element and the last."""
    found: list[list[Any]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [[key], *([key, *path] for path in paths_of(inner))]
    elif isinstance(value, list):
        for index in {0, len(value) - 1} if value else ():
            found += [[index, *path] for path in paths_of(value[index])]
    return found


def test_every_schema_is_of_something_that_is_printed() -> None:
    kinds = {
        document.get("kind")
        for name in OF_OTHERS
        for document in yaml.safe_load_all(TEXTS[name])
        if document is not None
    }
    assert set(SCHEMA_OF) <= kinds
    assert {*SCHEMA_OF.values(), *VALUES_OF.values()} == set(schemas.SCHEMAS)
