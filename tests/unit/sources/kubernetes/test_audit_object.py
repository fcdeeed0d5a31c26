from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.sources.kubernetes.audit_object import (
    ShownObject,
    find_commit,
    find_object,
    govern,
    read_origin,
)

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

ASKED: Json = {"kind": "Thing", "metadata": {"name": "a"}, "spec": {"a": 1}}
KEPT: Json = {"kind": "Thing", "metadata": {"name": "a", "uid": "u"}, "spec": {"a": 1, "b": 2}}
STATUS: Json = {"kind": "Status", "metadata": {}, "status": "Success"}
OPTIONS: Json = {"kind": "DeleteOptions", "metadata": {}}


@pytest.mark.parametrize(
    ("verb", "request_", "answer", "shown"),
    [
        ("create", ASKED, KEPT, ShownObject(whole=KEPT, answered=KEPT)),
        ("create", ASKED, None, ShownObject(whole=ASKED)),
        ("update", ASKED, STATUS, ShownObject(whole=ASKED)),
        ("patch", {"spec": {}}, None, ShownObject(patch={"spec": {}})),
        ("patch", {"spec": {}}, KEPT, ShownObject(whole=KEPT, answered=KEPT)),
        ("patch", None, None, ShownObject()),
        ("delete", OPTIONS, STATUS, ShownObject()),
        ("delete", OPTIONS, KEPT, ShownObject(whole=KEPT, answered=KEPT)),
        ("deletecollection", ASKED, {"kind": "ThingList", "metadata": {}}, ShownObject()),
        ("create", [1], "x", ShownObject()),
        ("create", {"kind": "Thing"}, None, ShownObject()),
    ],
)
def test_object_is_what_was_kept_or_else_what_was_asked_for(
    verb: str, request_: object, answer: object, shown: ShownObject
) -> None:
    assert find_object(request_, answer, verb=verb, subresource="") == shown


def test_parts_of_objects_are_not_taken_for_them() -> None:
    for part, shown in (("status", KEPT), ("scale", None), ("eviction", None), ("token", None)):
        assert find_object(ASKED, KEPT, verb="create", subresource=part).whole == shown


def test_json_patch_is_read_as_what_it_sets() -> None:
    steps = [
        {"op": "test", "path": "/spec/a", "value": 0},
        {"op": "replace", "path": "/spec/mtls/mode", "value": "DISABLE"},
        {"op": "add", "path": "/metadata/annotations/istio.io~1dry-run", "value": "true"},
        {"op": "remove", "path": "/spec/selector"},
        {"op": "add", "path": "/spec/rules/-", "value": {}},
        {"op": "replace", "path": "/spec/rules/0/to", "value": [1]},
        {"op": "add", "path": "/spec/mtls/mode/deeper", "value": 1},
        "no step",
        {"op": "add", "path": "no pointer"},
    ]
    patch = find_object(steps, None, verb="patch", subresource="").patch
    assert patch == {
        "spec": {"mtls": {"mode": "DISABLE"}, "selector": None, "rules": [{}, [1]]},
        "metadata": {"annotations": {"istio.io/dry-run": "true"}},
    }


def test_governing_part_is_all_but_what_became_of_the_object() -> None:
    metadata = {
        "name": "a",
        "uid": "u",
        "labels": {"app": "x", "istio.io/rev": "r", "notistio.io/rev": "r"},
        "annotations": {"linkerd.io/inject": "enabled", "kubectl.kubernetes.io/last": "{}"},
    }
    whole = {"apiVersion": "v1", "kind": "K", "metadata": metadata, "spec": {"a": 1}, "status": {}}
    labels = {"istio.io/rev": "r"}
    annotations = {"linkerd.io/inject": "enabled"}
    assert govern(whole, resource="things") == {
        "spec": {"a": 1},
        "metadata": {"labels": labels, "annotations": annotations},
    }
    assert govern(whole, resource="namespaces")["metadata"] == {
        "labels": metadata["labels"],
        "annotations": annotations,
    }
    assert govern({"rules": [1], "metadata": {"name": "a"}}, resource="roles") == {"rules": [1]}


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("key", "value", "commit"),
    [
        ("meshtrail.io/commit", COMMIT, COMMIT),
        ("org.opencontainers.image.revision", COMMIT + "0" * 24, COMMIT + "0" * 24),
        ("app.kubernetes.io/version", COMMIT, COMMIT),
        ("app.kubernetes.io/version", "v1.2.3", None),
        # A digest of what was applied has as many digits, and is none.
        ("kustomize.toolkit.fluxcd.io/checksum", COMMIT, None),
    ],
)
def test_commit_is_read_from_labels_and_annotations_that_name_one(
    key: str, value: str, commit: str | None
) -> None:
    for place in ("labels", "annotations"):
        assert find_commit(read_origin({"metadata": {place: {key: value}}})) == commit


def test_tools_that_delivered_are_told_at_bounded_length() -> None:
    stated = {"argocd.argoproj.io/tracking-id": "x" * 10_000, "meta.helm.sh/release-name": "web"}
    told = read_origin({"metadata": {"annotations": stated}})
    assert told["meta.helm.sh/release-name"] == "web"
    assert len(told["argocd.argoproj.io/tracking-id"]) == 512
    assert read_origin(None) == {}
