from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from meshtrail.config import make_configuration, read_tables
from meshtrail.correlate.inventory import parse_inventory
from meshtrail.demo.recorder import make_environment, meshtrail_command, write_recorder_config

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_data_and_keys_of_the_demo_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHTRAIL_HOME", "/the/users/own")
    monkeypatch.setenv("MESHTRAIL_DATA", "/the/users/evidence")
    environment = make_environment(tmp_path)
    assert environment["MESHTRAIL_HOME"] == str(tmp_path / "home")
    assert environment["MESHTRAIL_DATA"] == str(tmp_path / "data")


def test_command_runs_this_meshtrail_wherever_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "src")  # as in a checkout: no path at all elsewhere
    (tmp_path / "meshtrail.py").write_text("raise SystemExit('an impostor')")
    done = subprocess.run(
        meshtrail_command("--version"),
        cwd=tmp_path,
        env=make_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("meshtrail "), done.stderr
    assert meshtrail_command()[0] == sys.executable


def test_inventory_has_every_workload_at_its_address_and_nowhere_else(tmp_path: Path) -> None:
    ips = {"checkout": "127.0.1.13", "customers": "127.0.1.15"}
    file = write_recorder_config(tmp_path, ips)
    configuration = make_configuration(read_tables(file), overrides={}, folder=tmp_path)
    told = configuration.ledger.inventory
    assert told is not None
    inventory = parse_inventory(told.read_bytes(), name="inventory")
    for name, own_ip in ips.items():
        assert len(inventory.pods_of("shop", name)) == 1
        here = [
            ip
            for ip in ips.values()
            if inventory.pods_at(ip, 1, namespace="shop", service_account=name)
        ]
        assert here == [own_ip]
