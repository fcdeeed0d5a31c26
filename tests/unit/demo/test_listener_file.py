"""Listeners that a sidecar takes from a file, and what is left of them without access logs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from meshtrail.demo.listener_file import ListenerFile, without_access_logs

if TYPE_CHECKING:
    from pathlib import Path

Config = dict[str, Any]

LOG = [{"name": "envoy.access_loggers.http_grpc"}]
MANAGER = {"stat_prefix": "inbound", "access_log": LOG, "http_filters": [{"name": "router"}]}
LISTENER = {
    "name": "inbound",
    "access_log": LOG,
    "filter_chains": [{"filters": [{"typed_config": MANAGER}]}],
}
SILENT = {
    "name": "inbound",
    "filter_chains": [
        {
            "filters": [
                {"typed_config": {"stat_prefix": "inbound", "http_filters": [{"name": "router"}]}}
            ]
        }
    ],
}


def read(file: ListenerFile) -> Config:
    written: Config = json.loads(file.path.read_text())
    return written


def test_file_holds_listeners_as_envoy_discovers_them(tmp_path: Path) -> None:
    file = ListenerFile(tmp_path / "listeners.json")
    file.write([LISTENER])
    [listener] = read(file)["resources"]
    assert listener.pop("@type") == "type.googleapis.com/envoy.config.listener.v3.Listener"
    assert listener == LISTENER
    assert str(file.path) in json.dumps(file.source())


def test_silencing_takes_every_access_log_and_nothing_else(tmp_path: Path) -> None:
    file = ListenerFile(tmp_path / "listeners.json")
    file.write([LISTENER])
    before, old_file = read(file), file.path.stat().st_ino
    file.silence()
    after = read(file)
    assert after["version_info"] != before["version_info"]
    [listener] = after["resources"]
    assert listener.pop("@type") == before["resources"][0]["@type"]
    assert listener == SILENT
    # Envoy notices a file that is moved there.
    assert file.path.stat().st_ino != old_file
    assert [path.name for path in tmp_path.iterdir()] == ["listeners.json"]


def test_access_logs_are_found_at_any_depth() -> None:
    assert without_access_logs([[{"access_log": LOG, "a": {"access_log": LOG}}], 1, "b"]) == [
        [{"a": {}}],
        1,
        "b",
    ]
