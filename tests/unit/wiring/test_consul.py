from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.model.otlp_attributes import Told
from meshtrail.wiring import format_consul
from meshtrail.wiring.mesh_formats import mesh_operators
from tests.unit.wiring.wirings import DOOR


def access_logs(text: str) -> dict[str, Any]:
    [defaults] = [document for document in yaml.safe_load_all(text) if document is not None]
    found: dict[str, Any] = defaults["spec"]["accessLogs"]
    return found


def test_format_is_json_with_what_requests_and_connections_are_made_of() -> None:
    logs = access_logs(format_consul(DOOR))
    assert json.loads(logs["jsonFormat"]) == mesh_operators(Told.BOTH)
    assert (logs["enabled"], logs["disableListenerLogs"]) == (True, False)
    assert logs["type"] == "stdout"
    assert "path" not in logs


def test_lines_go_to_a_file_where_one_is_named() -> None:
    logs = access_logs(format_consul(DOOR, access_log_file="/var/log/a.json"))
    assert (logs["type"], logs["path"]) == ("file", "/var/log/a.json")
    with pytest.raises(ConfigError, match="--access-log-file"):
        format_consul(DOOR, access_log_file="a.json")
