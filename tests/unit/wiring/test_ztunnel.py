from __future__ import annotations

import yaml

from meshtrail.wiring import format_ztunnel
from tests.unit.wiring.wirings import DOOR


def test_lines_are_json_and_every_value_of_the_environment_is_a_text() -> None:
    [values] = [one for one in yaml.safe_load_all(format_ztunnel(DOOR)) if one is not None]
    assert values["env"]["LOG_FORMAT"] == "json"
    assert all(isinstance(value, str) for value in values["env"].values())
    assert values["logLevel"] == "info"
