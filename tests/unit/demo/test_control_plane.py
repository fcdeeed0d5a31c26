from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.correlate.config_history import COLUMNS, ConfigHistory
from meshtrail.demo.control_plane import (
    AUDIT_FILE,
    GITOPS,
    GUARDING,
    HISTORY_FILE,
    INTERN,
    INVENTORY_FILE,
    LEAD,
    MISTAKEN,
    ControlPlane,
)
from meshtrail.demo.workloads import RECOMMENDATIONS, WORKLOADS
from meshtrail.sources.delivery.git_cut import cut_git_log
from meshtrail.sources.kubernetes.audit_events import read_audit_record
from meshtrail.sources.kubernetes.objects import read_inventory

if TYPE_CHECKING:
    from pathlib import Path

IPS = {workload.name: f"127.0.1.{workload.host}" for workload in WORKLOADS}
CONTROL = ControlPlane(began_s=1_763_712_000, ips=IPS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CONTROL.write(tmp_path)
    return tmp_path


def test_the_audit_log_tells_who_last_changed_each_policy_to_what_effect(folder: Path) -> None:
    rows: list[dict[str, Any]] = []
    for index, line in enumerate((folder / AUDIT_FILE).read_bytes().splitlines()):
        read = read_audit_record(line)
        assert not read.problems
        known = {"log_index": index, "received_time": index, "is_duplicate": False}
        rows.append(dict.fromkeys(COLUMNS) | read.columns | known)
    changes = list(ConfigHistory(rows))
    assert len({change.key for change in changes}) == sum(len(one.policies) for one in WORKLOADS)
    told = {
        change.key.name: (change.row["actor"], change.security, change.row["commit_id"])
        for change in changes
        if change.row["operation"] == "update"
    }
    assert told == {
        GUARDING.name: (LEAD, ("narrowed",), CONTROL.guarding.id),
        MISTAKEN.name: (INTERN, ("widened",), CONTROL.mistaken.id),
    }
    assert {one.row["actor"] for one in changes if one.before is None} == {GITOPS}


def test_the_inventory_has_a_pod_at_each_address_and_the_image_of_one(folder: Path) -> None:
    lines = (folder / INVENTORY_FILE).read_bytes().splitlines()
    read = [read_inventory(line) for line in lines]
    assert not any(one.problems for one in read)
    *pods, image = [one.columns for one in read]
    assert {pod["pod_workload"]: pod["pod_ips"] for pod in pods} == IPS
    digests = {pod["pod_workload"]: pod["image_digest"] for pod in pods}
    assert digests[RECOMMENDATIONS.name] == image["image_digest"]
    assert image["commit_id"] == CONTROL.built.id
    assert {pod["commit_id"] for pod in pods} == {None}


def test_the_history_has_every_commit_that_is_named_elsewhere(folder: Path) -> None:
    told = (folder / HISTORY_FILE).read_bytes()
    assert len(cut_git_log(told)) == 4
    for line in (folder / AUDIT_FILE).read_text("utf-8").splitlines():
        named = json.loads(line)["requestObject"]["metadata"]["annotations"]["meshtrail.io/commit"]
        assert f"commit {named}\n".encode() in told
