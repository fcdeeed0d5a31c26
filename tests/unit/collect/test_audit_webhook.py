"""Kubernetes' audit webhook, with a client that sends what a kube-apiserver sends."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.collect import exports
from meshtrail.model.entry import PayloadFormat
from meshtrail.store.durable import Disk
from tests.audit_webhook import BACKOFF_S, TRIES_MAX, AuditWebhook, encode_event, make_event
from tests.collect_rig import by_stream, records
from tests.fake_disks import SmallDisk
from tests.http_door_scene import HttpScene
from tests.otlp_rig import play

if TYPE_CHECKING:
    from pathlib import Path

    from tests.collect_rig import Collector, Entry

PATH = "/v1/records/kubernetes-audit"
BATCH = [make_event(number) for number in range(3)]
BACKOFFS_S = [BACKOFF_S * 1.5**number for number in range(TRIES_MAX - 1)]


@pytest.fixture
def scene(tmp_path: Path) -> HttpScene:
    return HttpScene(tmp_path)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "journal" / "collect"


def webhook(collector: Collector, **more: Any) -> AuditWebhook:
    assert collector.otlp_http is not None
    return AuditWebhook(collector.otlp_http, PATH, **more)


def test_requests_are_the_bytes_that_an_apiserver_sends() -> None:
    sent = AuditWebhook("127.0.0.1:8081", "/audit", tls=None).request(b"{}\n")
    assert sent == (
        b"POST /audit?timeout=30s HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n"
        b"User-Agent: Go-http-client/1.1\r\nContent-Length: 3\r\n"
        b"Accept: application/json, */*\r\nContent-Type: application/json\r\n"
        b"Accept-Encoding: gzip\r\n\r\n{}\n"
    )


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize("way", ["certificate", "token", "nothing"])
def test_events_of_a_list_are_records_of_who_the_kubeconfig_says(
    scene: HttpScene, version: str, way: str
) -> None:
    options: dict[str, dict[str, Any]] = {
        "certificate": {"is_mtls": True},
        "token": {"is_tls": True, "has_tokens": True},
        "nothing": {},
    }
    ways: dict[str, dict[str, Any]] = {
        "certificate": {"tls": scene.client(scene.sender)},
        "token": {"tls": scene.client(), "token": scene.token(source="kubernetes-audit")},
        "nothing": {},
    }
    told = []

    async def play_it(collector: Collector) -> None:
        client = webhook(collector, **ways[way])
        batches = (BATCH, [make_event(7)])
        told.extend(
            [await asyncio.to_thread(client.send, batch, version=version) for batch in batches]
        )
        client.close()

    # Both batches come over one connection, so they are one stream.
    ((opened, *entries),) = scene.play(scene.options(**options[way]), play_it)
    assert told == [True, True]
    assert records(entries) == [encode_event(event) for event in [*BATCH, make_event(7)]]
    assert {one.payload_format for one in entries[:-1]} == {PayloadFormat.KUBERNETES_AUDIT_JSON}
    assert {int(one.flags) for one in entries} == {0}
    said = opened.json
    assert said["service"] == "kubernetes-audit"
    assert said["claimed"]["user_agent"] == "Go-http-client/1.1"
    assert (said["auth"], said["authenticated"]["spiffe_id"], said["authenticated"]["token"]) == {
        "certificate": ("mtls", scene.sender.spiffe_id, None),
        "token": ("token", None, "shop"),
        "nothing": ("none", None, None),
    }[way]


def test_an_apiserver_that_is_not_let_in_drops_its_events_and_is_counted(scene: HttpScene) -> None:
    clients: list[AuditWebhook] = []
    token = scene.token(source="envoy-json")

    async def play_it(collector: Collector) -> None:
        clients.append(webhook(collector, tls=scene.client(), token=token))
        assert not await asyncio.to_thread(clients[0].send, BATCH)
        clients[0].close()

    assert scene.play(scene.options(is_tls=True, has_tokens=True), play_it) == []
    # It comes five times whatever it is told, and then no more.
    assert clients[0].statuses == [401] * TRIES_MAX
    assert clients[0].slept_s == BACKOFFS_S
    assert clients[0].dropped == BATCH
    refused = [facts for _, event, facts in scene.diag.events if event == "sender_refused"]
    assert sum(int(str(one["refused_count"])) for one in refused) == TRIES_MAX


def test_a_full_disk_is_waited_for_and_what_came_again_is_flagged(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports.Exports.__init__, "__kwdefaults__", {"hold_seconds_max": 0.1})
    disk = SmallDisk(20_000)
    clients: list[AuditWebhook] = []

    async def scene(collector: Collector) -> None:
        clients.append(webhook(collector))
        disk.room_bytes = 0
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(asyncio.to_thread(clients[0].send, BATCH))
            await collector.diag.heard("senders_turned_away")
            disk.room_bytes = 1 << 20
            assert await sending
        clients[0].close()

    entries = records_of(play(directory, scene, disk=disk))
    *turned_away, last = clients[0].statuses
    assert (set(turned_away), last) == ({503}, 200)
    assert clients[0].slept_s == [1.0] * len(turned_away)
    assert clients[0].dropped == []
    wanted = [encode_event(event) for event in BATCH]
    assert [entry.payload for entry in entries] == wanted * (len(entries) // 3)
    assert [int(entry.flags) for entry in entries[:3]] == [0, 0, 0]
    assert {int(entry.flags) for entry in entries[3:]} <= {8}


class HeldDisk(Disk):
    """A disk on which nothing is durable until it is let go."""

    def __init__(self) -> None:
        self.may_sync = threading.Event()
        self.may_sync.set()
        self.waits = threading.Event()

    def fsync(self, fd: int) -> None:
        self.waits.set()
        assert self.may_sync.wait(30)
        super().fsync(fd)


def test_events_are_acknowledged_only_once_the_journal_has_fsynced(directory: Path) -> None:
    disk = HeldDisk()

    async def scene(collector: Collector) -> None:
        client = webhook(collector)
        disk.waits.clear()
        disk.may_sync.clear()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(asyncio.to_thread(client.send, BATCH))
            assert await asyncio.to_thread(disk.waits.wait, 30)
            assert client.statuses == []
            disk.may_sync.set()
            assert await sending
        assert client.statuses == [200]
        client.close()

    assert len(records_of(play(directory, scene, disk=disk))) == 3


def test_a_list_that_was_cut_off_is_sealed_as_it_came_each_time(directory: Path) -> None:
    broken = AuditWebhook("", "").request(b'{"kind":"EventList","items":[{"auditID":')
    body = broken.partition(b"\r\n\r\n")[2]

    async def scene(collector: Collector) -> None:
        client = webhook(collector)
        assert not await asyncio.to_thread(client._try, body)
        assert not await asyncio.to_thread(client._try, body)
        assert client.statuses == [400, 400]
        client.close()

    entries = records_of(play(directory, scene))
    assert [(one.payload_format, one.payload, int(one.flags)) for one in entries] == [
        (PayloadFormat.BODY_FRAME, body, 0),
        (PayloadFormat.BODY_FRAME, body, 8),
    ]


def test_what_the_apiserver_truncated_is_a_record_that_says_so(directory: Path) -> None:
    cut = make_event(1, annotations={"audit.k8s.io/truncated": "true"})

    async def scene(collector: Collector) -> None:
        client = webhook(collector)
        assert await asyncio.to_thread(client.send, [cut])
        client.close()

    (record,) = records_of(play(directory, scene))
    assert json.loads(record.payload)["annotations"] == {"audit.k8s.io/truncated": "true"}


def records_of(entries: list[Entry]) -> list[Entry]:
    return [one for stream in by_stream(entries) for one in stream if records([one])]
