from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from meshtrail.config import ServeOptions, make_configuration
from meshtrail.errors import ConfigError

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "api.md"


def make(**options: Any) -> ServeOptions:
    return make_configuration({"serve": options}, overrides={}, folder=Path("/")).serve


@pytest.mark.parametrize("http", ["127.0.0.1:0", "localhost:1", "[::1]:65535", "127.1.2.3:80"])
def test_addresses_of_loopback_are_taken(http: str) -> None:
    assert make(http=http).is_on


@pytest.mark.parametrize("http", ["0.0.0.0:8710", "[::]:8710", "10.0.0.1:1", "example.org:80"])
def test_what_others_could_reach_is_refused_until_they_can_be_authenticated(http: str) -> None:
    with pytest.raises(ConfigError, match=f"^http {re.escape(http)} is not a loopback address"):
        make(http=http)


@pytest.mark.parametrize("http", ["", "8710", "127.0.0.1", "OFF", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(http: str) -> None:
    with pytest.raises(ConfigError, match="is not an address"):
        make(http=http)


def test_off_answers_nothing() -> None:
    assert not make(http="off").is_on


@pytest.mark.parametrize(
    "options",
    [
        {"searches_max": 0},
        {"tails_max": 0},
        {"body_bytes_max": 0},
        {"searches_waiting_max": -1},
        {"search_seconds_max": 0},
        {"search_seconds_max": 601},
        {"search_memory_mib": 1},
        {"search_threads": 0},
        {"reader_seconds_max": 0},
        {"hosts": ["Trail.example"]},
        {"hosts": ["trail.example:80"]},
        {"hosts": ["*"]},
        {"hosts": "trail.example"},
        {"connections_max": True},
    ],
)
def test_bounds_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        make(**options)


def test_names_for_the_host_header_come_as_a_list() -> None:
    assert make(hosts=["trail.example"]).hosts == ("trail.example",)


def test_the_documentation_shows_every_option_with_its_default() -> None:
    text = DOCUMENT.read_text(encoding="utf-8").partition("\n## Bounds\n")[2]
    shown = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", text, re.MULTILINE))
    defaults = {field.name: field.default for field in dataclasses.fields(ServeOptions)}
    assert shown == {
        name: str(value) if value != () else "none" for name, value in defaults.items()
    }
