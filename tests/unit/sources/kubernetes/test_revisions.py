from __future__ import annotations

import json
from typing import Any

import pytest

from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.revisions import read_delivery

COMMIT = "0123456789abcdef0123456789abcdef01234567"
BEFORE = "ab" * 20
DIGEST = "cd" * 32
SECOND = 1_000_000_000


def columns(said: dict[str, Any]) -> dict[str, Any]:
    row = read_delivery(Members(said))
    assert row is not None
    assert row.problems == []
    assert row.columns["kind"] == "deployment"
    return {**row.columns, "detail": json.loads(row.columns["detail"])}


def application(*, phase: str) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"namespace": "argocd", "name": "shop"},
        "spec": {
            "source": {
                "repoURL": "git@git.example:shop/deploy.git",
                "targetRevision": "main",
                "path": "checkout",
            },
            "destination": {"namespace": "shop"},
            "project": "default",
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": BEFORE},
            "health": {"status": "Healthy"},
            "operationState": {
                "phase": phase,
                "startedAt": "1970-01-01T00:00:01Z",
                "finishedAt": "1970-01-01T00:00:02Z",
                "operation": {"initiatedBy": {"username": "grace"}},
                "syncResult": {"revision": COMMIT},
            },
            "summary": {"images": ["registry.example/checkout:2.14"]},
        },
    }


def test_application_names_the_commit_that_it_brought_and_who_asked_for_it() -> None:
    told = columns(application(phase="Succeeded"))
    assert (told["object_kind"], told["object_group"]) == ("applications", "argoproj.io")
    assert (told["object_namespace"], told["object_name"]) == ("argocd", "shop")
    assert (told["commit_id"], told["commit_ref"]) == (COMMIT, "main")
    assert told["repository_url"] == "https://git.example/shop/deploy"
    assert (told["actor"], told["actor_trust"]) == ("grace", "reported")
    assert (told["operation"], told["time"]) == ("Succeeded", 2 * SECOND)
    assert told["image"] == "registry.example/checkout:2.14"
    assert told["detail"]["compared_revision"] == BEFORE
    assert told["detail"]["destination"] == {"namespace": "shop"}


def test_application_whose_operation_failed_names_what_it_was_compared_with() -> None:
    assert columns(application(phase="Failed"))["commit_id"] == BEFORE


def test_application_that_synced_by_itself_says_so_and_has_no_actor() -> None:
    said = application(phase="Succeeded")
    said["status"]["operationState"]["operation"] = {"initiatedBy": {"automated": True}}
    told = columns(said)
    assert (told["actor"], told["actor_trust"]) == (None, None)
    assert told["detail"]["automated"] is True


def test_application_of_several_sources_names_the_first_commit_and_all_revisions() -> None:
    said = application(phase="Succeeded")
    said["status"]["operationState"]["syncResult"] = {"revisions": ["1.2.3", COMMIT]}
    said["spec"]["sources"] = [{"repoURL": "https://charts.example"}, said["spec"].pop("source")]
    told = columns(said)
    assert told["commit_id"] == COMMIT
    assert told["detail"]["revisions"] == ["1.2.3", COMMIT]


def flux(kind: str, *, group: str = "kustomize", **members: object) -> dict[str, Any]:
    return {
        "apiVersion": f"{group}.toolkit.fluxcd.io/v1",
        "kind": kind,
        "metadata": {"namespace": "flux-system", "name": "shop"},
        **members,
    }


READY = {
    "type": "Ready",
    "status": "True",
    "reason": "ReconciliationSucceeded",
    "message": "Applied",
    "lastTransitionTime": "1970-01-01T00:00:03Z",
}


@pytest.mark.parametrize("applied", [f"main@sha1:{COMMIT}", f"main/{COMMIT}"])
def test_kustomization_names_the_commit_that_it_applied(applied: str) -> None:
    status = {"lastAppliedRevision": applied, "conditions": [READY]}
    source = {"kind": "GitRepository", "name": "deploy"}
    told = columns(flux("Kustomization", spec={"sourceRef": source, "path": "./a"}, status=status))
    assert (told["commit_id"], told["commit_ref"], told["time"]) == (COMMIT, "main", 3 * SECOND)
    assert told["detail"]["source"] == source
    assert told["detail"]["reason"] == "ReconciliationSucceeded"


def test_kustomization_of_an_image_has_no_commit_but_that_of_its_origin() -> None:
    spec = {"sourceRef": {"kind": "OCIRepository", "name": "deploy"}}
    status = {"lastAppliedRevision": f"latest@sha256:{DIGEST}"}
    assert columns(flux("Kustomization", spec=spec, status=status))["commit_id"] is None
    status["lastAppliedOriginRevision"] = f"main@sha1:{COMMIT}"
    told = columns(flux("Kustomization", spec=spec, status=status))
    assert (told["commit_id"], told["commit_ref"]) == (COMMIT, "main")


def test_release_of_a_chart_names_its_version() -> None:
    status = {"lastAttemptedRevision": "1.2.3", "history": [{"chartVersion": "1.2.2"}]}
    spec = {"chart": {"spec": {"chart": "checkout", "sourceRef": {"kind": "HelmRepository"}}}}
    told = columns(flux("HelmRelease", group="helm", spec=spec, status=status))
    assert told["commit_id"] is None
    assert told["detail"] == {
        "revision": "1.2.2",
        "attempted_revision": "1.2.3",
        "source": {"kind": "HelmRepository"},
        "chart": "checkout",
    }


def test_repository_of_git_names_where_it_fetched_which_commit() -> None:
    artifact = {"revision": f"main@sha1:{COMMIT}", "lastUpdateTime": "1970-01-01T00:00:04Z"}
    spec = {"url": "ssh://git@git.example/shop/deploy.git", "ref": {"branch": "main"}}
    told = columns(flux("GitRepository", group="source", spec=spec, status={"artifact": artifact}))
    assert (told["commit_id"], told["commit_ref"], told["time"]) == (COMMIT, "main", 4 * SECOND)
    assert told["repository_url"] == "https://git.example/shop/deploy"


def test_repository_of_images_names_the_commit_that_it_was_made_of() -> None:
    artifact = {
        "revision": f"latest@sha256:{DIGEST}",
        "metadata": {
            "org.opencontainers.image.revision": f"main@sha1:{COMMIT}",
            "org.opencontainers.image.source": "https://git.example/shop/deploy.git",
        },
    }
    spec = {"url": "oci://registry.example/deploy", "ref": {"tag": "latest"}}
    told = columns(flux("OCIRepository", group="source", spec=spec, status={"artifact": artifact}))
    assert (told["commit_id"], told["image_digest"]) == (COMMIT, f"sha256:{DIGEST}")
    assert told["repository_url"] == "https://git.example/shop/deploy"
    del artifact["metadata"]
    told = columns(flux("OCIRepository", group="source", spec=spec, status={"artifact": artifact}))
    assert (told["commit_id"], told["repository_url"]) == (None, None)


@pytest.mark.parametrize(
    "said",
    [
        {"apiVersion": "v1", "kind": "Application"},
        {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject"},
        {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"},
        {},
    ],
)
def test_other_objects_are_no_delivery(said: dict[str, Any]) -> None:
    assert read_delivery(Members(said)) is None
