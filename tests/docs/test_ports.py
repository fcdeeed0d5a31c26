"""The ports that the document on deployment names are those that `up` opens."""

from __future__ import annotations

import re
from pathlib import Path

from meshtrail.collect import CollectOptions
from meshtrail.config import ServeOptions

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
PORT = re.compile(r"^\| (\d+) \|.*?\(`(\w+)`\)", re.MULTILINE)


def test_every_port_that_is_open_by_default_is_documented_with_its_option() -> None:
    collect, serve = CollectOptions(), ServeOptions()
    doors = {"grpc": collect.grpc, "otlp_http": collect.otlp_http, "http": serve.http}
    documented = PORT.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert documented == [(address.rpartition(":")[2], door) for door, address in doors.items()]


def test_the_container_publishes_every_port_of_senders() -> None:
    collect = CollectOptions()
    ports = [door.rpartition(":")[2] for door in (collect.grpc, collect.otlp_http)]
    published = re.findall(r"-p (\d+:\d+)", DOCUMENT.read_text(encoding="utf-8"))
    assert published == [f"{port}:{port}" for port in ports]
