"""What `meshtrail demo` itself adds: options, where things go, the exit status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.cli import demo, exit_codes
from meshtrail.demo import demonstration

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.demo.demonstration import DemoRequest
    from meshtrail.demo.narration import Narrator


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[DemoRequest]:
    asked: list[DemoRequest] = []

    def run(request: DemoRequest, _: Narrator) -> bool:
        asked.append(request)
        return not request.is_keeping

    monkeypatch.setattr(demonstration, "run_demo", run)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return asked


def test_exit_status_says_whether_every_claim_held(requests: list[DemoRequest]) -> None:
    assert demo.main([]) == exit_codes.OK
    assert demo.main(["--keep"]) == exit_codes.UNEXPECTED
    assert [request.is_keeping for request in requests] == [False, True]


def test_everything_goes_into_the_directory_that_was_named(
    requests: list[DemoRequest], tmp_path: Path
) -> None:
    demo.main(["--dir", str(tmp_path / "shop")])
    assert requests[0].directory == tmp_path / "shop"


def test_each_run_has_a_fresh_directory_by_default(
    requests: list[DemoRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    demo.main([])
    demo.main([])
    first, second = [request.directory for request in requests]
    assert first != second
    assert first.parent == second.parent == tmp_path
    assert not [*first.iterdir()]
