from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from meshtrail.api.health import find_reasons
from meshtrail.app.figures import read_figures
from meshtrail.app.status import JournalStatus
from meshtrail.log.data_lock import DataLock
from meshtrail.store.manifest_follower import ManifestFollower
from tests.unit.api.exchange import Exchange, FixedClock, serving_client
from tests.unit.search.small_log import ORIGIN, SmallLog, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.app.figures import Figures


@pytest.fixture
def log(tmp_path: Path) -> SmallLog:
    return make_log(tmp_path / "data")


def get(log: SmallLog, path: str) -> Exchange:
    async def run() -> Exchange:
        async with serving_client(log) as client:
            return await client.get(path)

    return asyncio.run(run())


def figures_of(log: SmallLog, **status: Any) -> Figures:
    verifier = log.signer.verifier
    manifests = ManifestFollower(log.layout, verifier, origin=ORIGIN)
    figures = read_figures(log.layout, verifier, manifests, origin=ORIGIN, clock=FixedClock())
    return replace(figures, status=replace(figures.status, **{"sealer": "running", **status}))


def checks(figures: Figures, *, lag_seconds_max: float = 10) -> list[str]:
    return [reason["check"] for reason in find_reasons(figures, lag_seconds_max=lag_seconds_max)]


def test_the_process_lives_whatever_the_log_is_like(log: SmallLog) -> None:
    log.layout.published.parent.rename(log.layout.root / "elsewhere")
    answer = get(log, "/healthz")
    assert (answer.status, answer.json) == (200, {"alive": True})


def test_a_log_that_is_sealed_and_signed_is_ready(log: SmallLog) -> None:
    log.add_segment([{}])
    lock = DataLock(log.layout)
    answer = get(log, "/readyz")
    lock.close()
    assert (answer.status, answer.json) == (200, {"ready": True, "reasons": []})
    answer = get(log, "/readyz")
    assert answer.status == 503
    assert [reason["check"] for reason in answer.json["reasons"]] == ["sealer"]


def test_a_log_without_checkpoint_is_not_ready_yet(log: SmallLog) -> None:
    assert checks(figures_of(log)) == ["published"]


def test_a_sealer_that_does_not_keep_up_makes_the_log_not_ready(log: SmallLog) -> None:
    log.add_segment([{}])
    now_ns = FixedClock().wall_ns()

    def waiting(seconds: int | None) -> JournalStatus:
        oldest_ns = None if seconds is None else now_ns - seconds * 10**9
        return JournalStatus(
            writer=f"w{seconds}", unsealed_bytes=1, files_count=1, oldest_unsealed_ns=oldest_ns
        )

    def lagging(*seconds: int | None) -> Figures:
        return figures_of(log, journals=tuple(map(waiting, seconds)))

    assert checks(lagging()) == checks(lagging(None, 10)) == []
    figures = lagging(3, None, 11)
    assert figures.seal_lag_seconds == 11
    (reason,) = find_reasons(figures, lag_seconds_max=10)
    assert reason["check"] == "lag"
    assert "11.0 s" in reason["reason"]
    assert checks(lagging(-5)) == []


def test_a_lock_that_cannot_be_asked_is_no_reason(log: SmallLog) -> None:
    log.add_segment([{}])
    assert checks(figures_of(log, sealer="unknown")) == []


def test_a_checkpoint_that_does_not_hold_is_a_reason_with_its_name(log: SmallLog) -> None:
    log.add_segment([{}])
    note = log.layout.published.read_bytes()
    log.layout.published.write_bytes(note.replace(b"\n1\n", b"\n2\n"))
    answer = get(log, "/readyz")
    assert answer.status == 503
    (reason,) = answer.json["reasons"]
    assert reason["check"] == "log"
    assert reason["reason"].startswith("SignatureError: ")
    assert get(log, "/api/status").error == (500, "SignatureError")


def test_status_is_what_the_command_prints(log: SmallLog) -> None:
    log.add_segment([{}] * 2)
    told = get(log, "/api/status").json
    assert (told["origin"], told["tree_size"], told["sealer"]) == (ORIGIN, 2, "not running")
    assert told["ledger"] is None
    assert told["data"] == str(log.layout.root)
    assert (told["pinned"], told["vkey"].startswith(ORIGIN)) == (True, True)


def test_status_with_a_parameter_is_refused(log: SmallLog) -> None:
    answer = get(log, "/api/status?x=1")
    assert answer.error == (400, "RequestError")
    assert "there is no parameter 'x': known are none" in answer.body.decode()
