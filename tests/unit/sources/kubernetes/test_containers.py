from __future__ import annotations

from typing import Any

import pytest

from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.containers import read_containers


def only(status: dict[str, Any]) -> dict[str, Any]:
    pod = {
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
        "status": {"containerStatuses": [{"name": "app", **status}]},
    }
    (container,) = read_containers(Members(pod))
    return container.detail()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff"}}},
            {"state": "waiting", "reason": "ImagePullBackOff"},
        ),
        (
            {"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}},
            {"state": "terminated", "reason": "OOMKilled", "exit_code": 137},
        ),
        (
            {"state": {"terminated": {"exitCode": 0, "finishedAt": "1970-01-01T00:00:02Z"}}},
            {"state": "terminated", "exit_code": 0, "finished_ns": 2_000_000_000},
        ),
        (
            {
                "state": {"running": {"startedAt": "1970-01-01T00:00:03Z"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 1}},
                "restartCount": 1,
            },
            {
                "state": "running",
                "reason": "Error",
                "exit_code": 1,
                "started_ns": 3_000_000_000,
                "restarts": 1,
            },
        ),
        ({}, {}),
    ],
)
def test_container_tells_its_state(status: dict[str, Any], said: dict[str, Any]) -> None:
    assert only(status) == {"name": "app", "role": "workload", "image": "app:1", **said}


def test_container_keeps_an_image_id_that_is_no_digest() -> None:
    assert only({"imageID": "docker://abc"})["image_id"] == "docker://abc"
    assert "digest" not in only({"imageID": "docker://abc"})


def test_debug_containers_are_not_the_workload() -> None:
    pod = {"spec": {"containers": [{"name": "a"}], "ephemeralContainers": [{"name": "debugger"}]}}
    roles = [one.role for one in read_containers(Members(pod))]
    assert roles == ["workload", "ephemeral"]
