from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE, Told
from meshtrail.wiring import EnvoyWiring
from meshtrail.wiring.file_logs import format_file_log
from tests.unit.wiring.wirings import LOOPBACK

SECRET = ("authorization", "cookie", "api-key", "PEER_CERT%")


def configured(told: Told, **changed: str) -> dict[str, Any]:
    [log] = yaml.safe_load(format_file_log("/var/log/a.json", told=told, **changed))
    found: dict[str, Any] = log
    return found


@pytest.mark.parametrize("told", [Told.REQUEST, Told.CONNECTION])
def test_line_has_every_attribute_of_its_records_its_time_and_no_other_key(told: Told) -> None:
    config = configured(told)["typed_config"]
    asked = BESIDE | {one.key: one.operator for one in ATTRIBUTES if told in one.told}
    assert config["log_format"]["json_format"] == {
        key: f"%{operator}%" for key, operator in asked.items()
    }
    assert config["log_format"]["omit_empty_values"] is True
    assert config["path"] == "/var/log/a.json"


def test_line_asks_for_no_secret() -> None:
    asked = configured(Told.REQUEST)["typed_config"]["log_format"]["json_format"].values()
    assert not [one for one in asked if any(word in one.lower() for word in SECRET)]


def test_log_keeps_what_chooses_among_its_records() -> None:
    assert configured(Told.CONNECTION, filtered="  filter: {x: 1}\n")["filter"] == {"x": 1}


@pytest.mark.parametrize("path", ["access.json", "/a/../b", "/a b", '/a"', ""])
def test_path_that_could_mean_something_else_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="--access-log-file"):
        EnvoyWiring(collector=LOOPBACK, access_log_file=path)
