from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshtrail.app.keys import write_key_file
from meshtrail.app.process_options import format_process_options, read_process_options
from meshtrail.errors import ConfigError, KeyFileError
from meshtrail.note import format_private_key, generate_signer


def test_options_survive_the_pipe_and_hold_no_secret(tmp_path: Path) -> None:
    key_file = tmp_path / "log.key"
    signer = generate_signer("mesh/one/0badcafe")
    write_key_file(key_file, signer)
    plain = format_process_options(
        data=tmp_path / "data",
        key_file=key_file,
        tables={"seal": {"lock_record": "heads"}, "log": {"mesh": "file"}},
        overrides={"seal.tick_ms": 50, "keys.file": Path("/x"), "log.mesh": None},
        folder=tmp_path,
    )
    line = json.dumps(plain)
    assert format_private_key(signer).split("+", 4)[4] not in line
    options = read_process_options(json.loads(line))
    assert options.layout.root == tmp_path / "data"
    assert options.configuration.seal.tick_ms == 50
    assert options.configuration.seal.lock_record == tmp_path / "heads"
    assert options.configuration.keys.file == Path("/x")
    assert options.configuration.log.mesh == "file"
    assert options.read_signer().verifier == signer.verifier


def test_a_process_refuses_options_and_keys_as_up_does(tmp_path: Path) -> None:
    plain = format_process_options(
        data=tmp_path, key_file=tmp_path / "log.key", tables={}, overrides={}, folder=tmp_path
    )
    with pytest.raises(KeyFileError, match="lies in the data directory"):
        read_process_options(plain).read_signer()
    with pytest.raises(ConfigError):
        read_process_options({**plain, "overrides": {"seal.tick_ms": 0}})
