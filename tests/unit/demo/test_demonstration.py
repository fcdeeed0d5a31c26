from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from meshtrail.demo import demonstration
from meshtrail.demo.demonstration import DemoRequest, run_demo
from meshtrail.demo.narration import Narrator
from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("envoy_binary")
def test_directory_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("mine")
    request = DemoRequest(directory=tmp_path, is_keeping=False, is_terminal=False)
    with pytest.raises(ConfigError, match="is not empty"):
        run_demo(request, Narrator(io.StringIO(), is_styled=False))
    assert [path.name for path in tmp_path.iterdir()] == ["evidence"]


def test_missing_envoy_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise ConfigError("there is no Envoy")

    monkeypatch.setattr(demonstration, "find_binary", missing)
    directory = tmp_path / "demo"
    request = DemoRequest(directory=directory, is_keeping=False, is_terminal=False)
    with pytest.raises(ConfigError, match="no Envoy"):
        run_demo(request, Narrator(io.StringIO(), is_styled=False))
    assert not directory.exists()
