"""A real Envoy writes into a file what it sends to its access log service: equal events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from meshtrail.model.entry import PayloadFormat
from meshtrail.model.otlp_attributes import ATTRIBUTES
from tests.als_records import opened
from tests.e2e import wired_proxy as wired
from tests.e2e.logged_mesh import (
    ARRIVAL_S_MAX,
    FRONTEND,
    RECORDS_COUNT,
    Row,
    different,
    events,
    running_world,
    send_everything,
    sidecar,
    source,
    with_logs_of,
)
from tests.e2e.wired_proxy import LOOPBACK
from tests.rig.envoy import Envoy
from tests.rig.recorder import wait_until

if TYPE_CHECKING:
    from tests.e2e.logged_mesh import World
    from tests.e2e.wired_proxy import Config

FLUSHED = ("--file-flush-interval-msec", "50")


@dataclass(frozen=True, slots=True)
class Both:
    """The events of both, by what they are of."""

    als: list[Row]
    lines: list[Row]
    written: list[bytes]

    def of(self, path: str) -> tuple[Row, Row]:
        """Both events of the only request with this path."""
        [als], [line] = (
            [row for row in rows if row.get("url_path") == path] for rows in (self.als, self.lines)
        )
        return als, line


def pieces(world: World) -> Config:
    """What is printed, with file loggers beside those of the access log service."""
    address = ("--address", f"{LOOPBACK}:{world.als_port}")
    [sent] = wired.emit("envoy", *address)
    [written] = wired.emit("envoy", *address, "--access-log-file", f"{world.directory}/lines")
    return with_logs_of(sent, written)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    with running_world(tmp_path_factory.mktemp("file")) as world:
        config = sidecar(world, pieces(world))
        with Envoy("both", config, directory=world.directory, options=FLUSHED) as envoy:
            ports = envoy.ports()
            send_everything(world, ports)
            config = source(world, pieces(world), inbound=ports["inbound"])
            with Envoy("source", config, directory=world.directory, options=FLUSHED) as calling:
                assert wired.get_plain(calling.ports()["outbound"], "/mesh") == 200
                # The connection between the two ends with the one that calls.
                wait_for(world, RECORDS_COUNT - 1)
            wait_for(world, RECORDS_COUNT)
        written = lines_of(world)
        # From nobody, as lines are.
        nobody = opened(None, auth="none")
        # Two events of one moment are kept apart by their place in the file.
        lines = [(f"{at}", PayloadFormat.ENVOY_JSON, line) for at, line in enumerate(written)]
        als = events(world.received.als, nobody)
        return Both(in_order(als), in_order(events(lines, nobody)), written)


def lines_of(world: World) -> list[bytes]:
    """The whole lines that the file holds."""
    return (world.directory / "lines").read_bytes().split(b"\n")[:-1]


def wait_for(world: World, count: int) -> None:
    """Wait until so many records of each kind are there."""
    wait_until(
        lambda: min(len(world.received.als), len(lines_of(world))) >= count,
        f"{count} records of both kinds are there",
        seconds_max=ARRIVAL_S_MAX,
    )


def in_order(rows: dict[tuple[str, int, str | None], Row]) -> list[Row]:
    def place(row: Row) -> tuple[int, str, int]:
        return row["time"], row.get("envoy_access_log_type", ""), row.get("duration", 0)

    return sorted(rows.values(), key=place)


def test_every_record_is_a_line_with_the_same_columns(both: Both) -> None:
    assert len(both.als) == len(both.lines) == RECORDS_COUNT
    unequal = [
        (row.get("url_path"), different(als, row))
        for als, row in zip(both.als, both.lines, strict=True)
        if row.get("url_path") not in {"/dash", "/empty", "/method", "/bytes"}
    ]
    assert [(path, names) for path, names in unequal if names] == []


def test_every_column_that_attributes_promise_is_filled(both: Both) -> None:
    filled = {name for row in both.lines for name in row}
    assert {name for attribute in ATTRIBUTES for name in attribute.fills} <= filled


def test_lines_differ_only_as_attributes_do(both: Both) -> None:
    assert different(*both.of("/dash")) == {"user_agent_original"}
    assert different(*both.of("/empty")) == {"http_request_content_type"}
    assert different(*both.of("/method")) == {"http_request_method"}


def test_bytes_that_are_no_utf8_hide_nothing(both: Both) -> None:
    _, line = both.of("/bytes")
    assert different(*both.of("/bytes")) <= {
        *("user_agent_original", "request_id_text", "http_request_forwarded_for")
    }
    assert line["src_spiffe_id"] == FRONTEND


def test_nothing_in_a_line_is_attested(both: Both) -> None:
    trusts = {value for row in both.lines for name, value in row.items() if name.endswith("_trust")}
    assert trusts == {"reported", "asserted"}
    _, denied = both.of("/admin")
    assert (denied["decision"], denied["decision_trust"]) == ("denied", "reported")


def test_quotes_in_headers_stay_in_their_field(both: Both) -> None:
    assert both.of("/pay")[1]["user_agent_original"] == 'a "b" 200 -'
    assert all(isinstance(json.loads(line), dict) for line in both.written)
