from __future__ import annotations

import http.client
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from meshtrail.api.serve_process import serve
from meshtrail.app.process_options import format_process_options
from meshtrail.errors import ConfigError
from meshtrail.note import format_vkey
from tests.unit.search.small_log import SmallLog, make_log

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Child:
    """A child whose supervisor does something when it is ready, and then asks it to stop."""

    def __init__(self, options: dict[str, Any], when_ready: Callable[[str], object]) -> None:
        self.name = "serve"
        self.alarms: Counter[str] = Counter()
        self.options = options
        self.diag = structlog.get_logger()
        self.told: list[dict[str, Any]] = []
        self.callbacks: list[Callable[[], object]] = []
        self._when_ready = when_ready
        self.asking = threading.Thread(target=self._ask)

    def on_stop(self, callback: Callable[[], object]) -> None:
        self.callbacks.append(callback)

    def tell_ready(self, **facts: Any) -> None:
        self.told.append(facts)
        # The loop has to go on meanwhile.
        self.asking.start()

    def _ask(self) -> None:
        try:
            self._when_ready(self.told[0]["http"])
        finally:
            for callback in self.callbacks:
                callback()


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    made = make_log(tmp_path / "data")
    made.add_segment([{}] * 3)
    return made


def run(log: SmallLog, address: str, when_ready: Callable[[str], object]) -> Child:
    options = format_process_options(
        data=log.layout.root,
        # It is never opened: there is none.
        key_file=log.layout.root / "no.key",
        tables={"serve": {"http": address}},
        overrides={},
        folder=log.layout.root,
    )
    options["vkey"] = format_vkey(log.signer.verifier)
    child = Child(options, when_ready)
    serve(child)  # type: ignore[arg-type] # as much of a child as it needs
    child.asking.join(20)
    return child


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_where_it_says_and_keeps_the_address_for_the_next_start(log: SmallLog) -> None:
    answers: list[tuple[int, bytes]] = []

    def ask(address: str) -> None:
        answers.append(get(address, "/checkpoint"))
        answers.append(get(address, "/api/search?limit=1"))

    child = run(log, "127.0.0.1:0", ask)
    (told,) = child.told
    assert told == {"http": told["http"], "keep": {"serve.http": told["http"]}}
    assert int(told["http"].rpartition(":")[2]) > 0
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1] == log.layout.published.read_bytes()
    # A stop after the end is heard by nobody, and does no harm.
    child.callbacks[0]()


def test_a_stop_ends_those_who_follow_and_lets_go_of_the_port(log: SmallLog) -> None:
    bodies: list[bytes] = []
    begun = threading.Event()

    def follow(address: str) -> None:
        connection = http.client.HTTPConnection(address, timeout=20)
        connection.request("GET", "/api/tail?from_index=0")
        answer = connection.getresponse()
        begun.set()
        bodies.append(answer.read())
        connection.close()

    followers: list[threading.Thread] = []

    def begin(address: str) -> None:
        followers.append(threading.Thread(target=follow, args=(address,)))
        followers[0].start()
        assert begun.wait(20)

    child = run(log, "127.0.0.1:0", begin)
    followers[0].join(20)
    assert bodies[0].count(b"\nid: ") == 4
    assert bodies[0].endswith(b'event: end\ndata: {"reason":"stopping"}\n\n')
    host, _, port = child.told[0]["http"].rpartition(":")
    socket.create_server((host, int(port))).close()


def test_a_port_that_is_taken_is_refused_before_anybody_is_told_anything(log: SmallLog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match="Is another process listening there"):
            run(log, address, lambda _: None)
