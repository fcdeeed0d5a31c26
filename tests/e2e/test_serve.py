"""HTTP of a real ``meshtrail up``: all endpoints, an audit by a stranger's client, kills."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from tlog_scales.backend import LocalBackend
from tlog_scales.reader import TilesReader
from tlog_scales.signing import Vkey
from tlog_scales.tlog import Checkpoint

from meshtrail.cli import exit_codes
from meshtrail.merkle import bundles_for_size, tiles_for_size
from meshtrail.units import TreeSize
from tests.naive_rfc6962 import naive_root
from tests.unit.api.sql_attacks import EXHAUSTING, REFUSED, filled
from tests.unit.app.running import Up, run, running, send

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS_MAX = 60.0
READY_SECONDS_MAX = 3.0
READY_TURNS = 10


@contextmanager
def asking(
    up: Up, method: str, path: str, *, body: object = None, headers: dict[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(up.http, timeout=SECONDS_MAX)
    given = dict(headers or {})
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        given["content-type"] = "application/json"
    try:
        connection.request(method, path, data, given)
        yield connection.getresponse()
    finally:
        connection.close()


def get(up: Up, path: str, **named: Any) -> tuple[int, bytes]:
    with asking(up, "GET", path, **named) as answer:
        return answer.status, answer.read()


def get_json(up: Up, path: str) -> dict[str, Any]:
    status, body = get(up, path)
    assert status == 200, body
    told: dict[str, Any] = json.loads(body)
    return told


def post(up: Up, body: object) -> tuple[int, dict[str, Any]]:
    with asking(up, "POST", "/api/search", body=body) as answer:
        return answer.status, json.loads(answer.read())


def wait_for(up: Up, count: int) -> None:
    """Return when so many requests can be found."""
    deadline = time.monotonic() + SECONDS_MAX
    while get_json(up, f"/api/search?q=kind:request&limit={count}")["found"] < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)  # sealing happens in other processes: there is nothing to wait on


def follow(up: Up, path: str, count: int, **headers: str) -> list[tuple[int, dict[str, Any]]]:
    """The next so many events of a tail: (id, data)."""
    found: list[tuple[int, dict[str, Any]]] = []
    index = -1
    with asking(up, "GET", path, headers=headers) as answer:
        assert answer.status == 200
        while len(found) < count:
            name, _, value = answer.readline().decode().rstrip("\n").partition(": ")
            if name == "id":
                index = int(value)
            elif name == "data":
                found.append((index, json.loads(value)))
    return found


def test_every_endpoint_answers_for_a_real_log(tmp_path: Path) -> None:
    paths = [f"/{number}" for number in range(300)]
    with running(tmp_path) as up:
        assert get(up, "/healthz") == (200, b'{"alive":true}')
        send(up.address, paths)
        wait_for(up, len(paths))
        assert get_json(up, "/readyz") == {"ready": True, "reasons": []}
        status = get_json(up, "/api/status")
        printed = json.loads(run(tmp_path, "status", "--json").stdout)
        assert status.keys() == printed.keys()
        assert status["origin"] == up.lines[0]["origin"]
        metrics = get(up, "/metrics")[1].decode()
        assert f"meshtrail_tree_size {float(status['tree_size'])}" in metrics
        assert 'meshtrail_process_up{process="serve"} 1.0' in metrics
        told = get_json(up, "/api/search?q=kind:request&columns=path&limit=5")
        assert [row["url_path"] for row in told["rows"]] == list(reversed(paths))[:5]
        assert told["has_more"] is True
        searched = up.search("kind:request")
        lines = get(up, "/api/search?q=kind:request&limit=1000&format=ndjson")[1]
        assert [json.loads(line) for line in lines.splitlines()] == searched
        arrow = get(up, "/api/search?q=kind:request&limit=1000&format=arrow&columns=path")[1]
        table = pa.ipc.open_stream(io.BytesIO(arrow)).read_all()
        assert table.column("url_path").to_pylist() == [row["url_path"] for row in searched]
        assert get_json(up, "/api/search/explain?q=path:/7")["tree_size"] >= 300
        sql = "SELECT count(*) AS n FROM events WHERE kind = 'request'"
        assert post(up, {"sql": sql})[1]["rows"] == [{"n": 300}]
        assert get(up, "/checkpoint", headers={"Host": "evil.example"})[0] == 421
        assert up.stop() == exit_codes.OK


def test_a_strangers_client_audits_the_log_over_http(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        send(up.address, [f"/{number}" for number in range(600)])
        wait_for(up, 600)
        mirror = tmp_path / "mirror"
        mirror.mkdir()
        note = get(up, "/checkpoint")[1]
        (mirror / "checkpoint").write_bytes(note)
        checkpoint = Checkpoint.from_text(note.decode())
        checkpoint.verify(Vkey.from_string(up.lines[0]["vkey"]))
        tree_size = TreeSize(checkpoint.size)
        places = [tile.path for tile in tiles_for_size(tree_size)]
        places += [bundle.path for bundle in bundles_for_size(tree_size)]
        for place in places:
            status, body = get(up, f"/{place}")
            assert status == 200
            path = mirror / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        reader = TilesReader(LocalBackend(mirror))
        reader.set_size(checkpoint.size)
        assert reader.calculate_root_hash() == checkpoint.root_hash
        entries = [reader.get_entry(index) for index in range(checkpoint.size)]
        assert naive_root(entries) == checkpoint.root_hash
        assert sum(b"/599" in entry for entry in entries) == 1


def test_a_tail_gets_each_event_once_however_often_it_comes_back(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        send(up.address, [f"/before/{number}" for number in range(3)])
        wait_for(up, 3)
        path = "/api/tail?q=path:/now/*&columns=path"
        size = get_json(up, "/api/search")["tree_size"]
        seen: list[tuple[int, dict[str, Any]]] = []
        for turn in range(3):
            send(up.address, [f"/now/{turn}/{number}" for number in range(10)])
            last = {"Last-Event-ID": str(seen[-1][0])} if seen else {}
            # Not all of what there is: the rest comes with the next.
            seen += follow(up, f"{path}&from_index={size}", 5, **last)
        last = {"Last-Event-ID": str(seen[-1][0])}
        seen += follow(up, path, 15, **last)
    wanted = [f"/now/{turn}/{number}" for turn in range(3) for number in range(10)]
    assert [row["url_path"] for _, row in seen] == wanted
    indexes = [index for index, _ in seen]
    assert indexes == sorted(set(indexes))


def state_of(data: Path) -> dict[str, str]:
    """Digests of what is evidence; the journal and figures go on by themselves."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("segments", "tiles", "published", "checkpoints", "manifest", "blobs")
        for path in sorted((data / folder).iterdir())
    }


def test_sql_over_http_cannot_write_read_other_files_or_outlive_its_budget(
    tmp_path: Path,
) -> None:
    config = tmp_path / "meshtrail.toml"
    config.write_text("[serve]\nsearch_seconds_max = 1\nsearch_memory_mib = 64\n")
    secret = tmp_path / "secret"
    secret.write_text("known to nobody outside")
    with running(tmp_path, "--config", str(config)) as up:
        send(up.address, [f"/{number}" for number in range(12)])
        wait_for(up, 12)
        data = tmp_path / "data"
        before = state_of(data)
        segment = next((data / "segments").iterdir())
        for status, statements in ((400, REFUSED[::3]), (422, EXHAUSTING[:4])):
            for sql in statements:
                tried = filled(sql, folder=tmp_path, segment=segment, secret=secret)
                got, told = post(up, {"sql": tried})
                assert got == status, (sql[:80], told)
                assert "known to nobody" not in json.dumps(told)
                assert get_json(up, "/api/search?q=path:/7")["found"] == 1
        assert state_of(data) == before
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "data", "home", "meshtrail.toml", "secret",
        ]  # fmt: skip
        assert get_json(up, "/readyz")["ready"] is True
        assert up.pids == up.lines[0]["pids"], "nothing had to be started again"
        assert up.stop() == exit_codes.OK


def test_a_killed_serve_comes_back_where_it_was_and_harms_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as up:
        address = up.http
        send(up.address, ["/1"])
        wait_for(up, 1)
        stopping = threading.Event()
        asking_on = threading.Thread(target=ask_until, args=(up, stopping))
        asking_on.start()
        for turn in range(3):
            os.kill(up.pids["serve"], signal.SIGKILL)
            send(up.address, [f"/while/{turn}"])
            restarted = up.read()
            assert (restarted["process"], restarted["exit"]) == ("serve", -signal.SIGKILL)
        stopping.set()
        asking_on.join(SECONDS_MAX)
        assert up.http == address
        wait_for(up, 4)
        metrics = get(up, "/metrics")[1].decode()
        deaths = 'meshtrail_process_deaths_total{cause="SIGKILL",process="serve"} 3.0'
        assert deaths in metrics
        assert up.stop() == exit_codes.OK
    assert run(tmp_path, "verify", "--deep").returncode == exit_codes.OK


def ask_until(up: Up, stopping: threading.Event) -> None:
    """Search on and on, whether anybody answers or not."""
    while not stopping.is_set():
        try:
            get(up, "/api/search")
        except (OSError, http.client.HTTPException):
            stopping.wait(0.02)


def test_no_process_of_serve_can_write_into_the_data_directory(tmp_path: Path) -> None:
    """By the system's word, where it has one: each thread of it is confined."""
    with running(tmp_path) as up:
        post(up, {"sql": "SELECT 1 AS one"})
        get(up, "/api/search")
        pid = up.pids["serve"]
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            confined = [
                # Set by the call that takes the right to write away.
                "NoNewPrivs:\t1" in (task / "status").read_text()
                for task in sorted(Path(f"/proc/{each}/task").iterdir(), key=by_number)
            ]
            # Libraries start threads of their own when they are imported, an allocator's for one.
            # The first thread and all that came after those are confined.
            first, *others = confined
            assert first
            assert others[-1]
            assert others == sorted(others)


def by_number(path: Path) -> int:
    return int(path.name)


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_stop_does_not_wait_for_those_who_follow(
    tmp_path: Path, stop_signal: signal.Signals
) -> None:
    with running(tmp_path) as up, asking(up, "GET", "/api/tail?from_index=0") as answer:
        send(up.address, ["/last"])
        begun = time.monotonic()
        up.process.send_signal(stop_signal)
        assert up.process.wait(SECONDS_MAX) == exit_codes.OK
        assert time.monotonic() - begun < 15
        body = answer.read()
        # Serve stops last: what was sealed at the very end is still shown.
        assert b'"url_path":"/last"' in body
        assert b'"kind":"stream_closed"' in body
        assert body.endswith(b'event: end\ndata: {"reason":"stopping"}\n\n')


def test_up_is_ready_in_time_with_all_its_processes(tmp_path: Path) -> None:
    def start(folder: Path) -> float:
        begun = time.monotonic()
        with running(folder) as up:
            took = time.monotonic() - begun
            assert sorted(up.pids) == ["collect", "ledger", "seal", "serve"]
        return took

    # Once in a few turns: others may use this machine at the same time.
    assert any(start(tmp_path / str(turn)) < READY_SECONDS_MAX for turn in range(READY_TURNS))
