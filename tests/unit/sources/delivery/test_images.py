from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from meshtrail.sources.delivery.images import read_image
from meshtrail.sources.json_members import Members

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
LABELS = {
    "org.opencontainers.image.revision": COMMIT,
    "org.opencontainers.image.source": "https://git.example/shop/checkout.git",
    "org.opencontainers.image.version": "2.14.1",
}


def columns(said: dict[str, Any]) -> dict[str, Any]:
    record = json.dumps(said).encode()
    row = read_image(Members(said), record)
    assert row is not None
    assert row.columns["kind"] == "deployment"
    assert row.columns["object_kind"] == "images"
    assert row.columns["commit_id"] == COMMIT
    assert row.columns["repository_url"] == "https://git.example/shop/checkout"
    assert row.problems == []
    return row.columns


def own(said: dict[str, Any]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(said).encode()).hexdigest()


def test_skopeo_leads_from_a_digest_to_a_commit() -> None:
    said = {
        "Name": "registry.example/shop/checkout",
        "Digest": DIGEST,
        "Created": "1970-01-01T00:00:01.000000005Z",
        "Labels": LABELS,
        "Layers": [OTHER],
    }
    told = columns(said)
    assert (told["image"], told["image_digest"]) == ("registry.example/shop/checkout", DIGEST)
    assert told["object_created_time"] == 1_000_000_005
    assert json.loads(told["detail"]) == {"form": "skopeo", "revision": COMMIT, "version": "2.14.1"}


def test_docker_tells_the_digests_by_which_an_image_is_known() -> None:
    said = {
        "Id": OTHER,
        "RepoTags": ["checkout:2.14"],
        "RepoDigests": [f"registry.example/shop/checkout@{DIGEST}"],
        "Config": {"Labels": LABELS},
    }
    told = columns(said)
    assert told["image_digest"] == f"{DIGEST},{OTHER}"
    assert told["image"].startswith("checkout:2.14,registry.example/")


def test_manifest_has_the_digest_of_its_own_bytes() -> None:
    said = {"schemaVersion": 2, "config": {"digest": OTHER}, "annotations": LABELS}
    assert columns(said)["image_digest"] == f"{own(said)},{OTHER}"


def test_index_has_the_digests_of_its_images_and_not_of_what_tells_how_they_were_built() -> None:
    attestation = {"vnd.docker.reference.type": "attestation-manifest"}
    manifests = [{"digest": DIGEST}, {"digest": OTHER, "annotations": attestation}]
    said = {"schemaVersion": 2, "manifests": manifests, "annotations": LABELS}
    assert columns(said)["image_digest"] == f"{own(said)},{DIGEST}"


def test_configuration_has_the_digest_of_its_own_bytes() -> None:
    said = {"rootfs": {}, "config": {"Labels": LABELS}, "created": "1970-01-01T00:00:01Z"}
    told = columns(said)
    assert (told["image_digest"], told["object_created_time"]) == (own(said), 1_000_000_000)


@pytest.mark.parametrize(
    "said", [{}, {"Id": "x"}, {"schemaVersion": 2}, {"config": {}}, {"Digest": DIGEST}]
)
def test_what_describes_no_image_is_none(said: dict[str, Any]) -> None:
    assert read_image(Members(said), b"") is None
