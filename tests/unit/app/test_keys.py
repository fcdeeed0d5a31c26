from __future__ import annotations

import stat
from pathlib import Path

import pytest

from meshtrail.app.keys import (
    default_key_file,
    home_directory,
    is_private_key_file,
    read_key_file,
    write_key_file,
)
from meshtrail.errors import KeyFileError
from meshtrail.note import format_private_key, generate_signer

ORIGIN = "prod/eu-1/1f2e3d4c"


def test_a_written_key_reads_back_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    signer = generate_signer(ORIGIN)
    path = tmp_path / "home" / "keys" / "log.key"
    write_key_file(path, signer)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_key_file(path).verifier == signer.verifier


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_key_that_others_have_rights_on_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.key"
    write_key_file(path, generate_signer(ORIGIN))
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o}.*chmod 600"):
        read_key_file(path)


def test_a_key_inside_the_data_directory_is_neither_written_nor_read(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    inside = data / "keys" / "log.key"
    signer = generate_signer(ORIGIN)
    with pytest.raises(KeyFileError, match="lies in the data directory"):
        write_key_file(inside, signer, data=data)
    assert list(data.iterdir()) == []
    write_key_file(inside, signer)
    outside = tmp_path / "link.key"
    outside.symlink_to(inside)
    for path in (inside, outside, data / ".." / "data" / "keys" / "log.key"):
        with pytest.raises(KeyFileError, match="lies in the data directory"):
            read_key_file(path, data=data)


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    write_key_file(path, generate_signer(ORIGIN))
    before = path.read_bytes()
    with pytest.raises(KeyFileError, match="there already"):
        write_key_file(path, generate_signer(ORIGIN))
    assert path.read_bytes() == before


def test_a_missing_key_is_named_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"no private key .*log\.key.*--key"):
        read_key_file(tmp_path / "log.key")


def test_no_message_repeats_what_stands_in_a_key_file(tmp_path: Path) -> None:
    secret = format_private_key(generate_signer(ORIGIN))
    path = tmp_path / "log.key"
    for content in (secret + "x", secret + "\n\n", secret[:-1], f"{secret}\n{secret}", "\xff"):
        path.write_text(content, encoding="latin-1")
        path.chmod(0o600)
        with pytest.raises(KeyFileError) as caught:
            read_key_file(path)
        assert caught.value.__cause__ is None
        for part in secret.split("+", 4)[3:]:
            assert part not in str(caught.value)


def test_keys_lie_in_the_named_home_or_in_the_users(tmp_path: Path) -> None:
    assert home_directory({"MESHTRAIL_HOME": str(tmp_path), "HOME": "/x"}) == tmp_path
    assert home_directory({"HOME": "/x"}) == Path("/x/.config/meshtrail")
    assert default_key_file(tmp_path, ORIGIN) == tmp_path / "keys" / "prod_eu-1_1f2e3d4c.key"


def test_a_private_key_is_told_from_other_files(tmp_path: Path) -> None:
    path = tmp_path / "log.key"
    assert not is_private_key_file(path)
    write_key_file(path, generate_signer(ORIGIN))
    assert is_private_key_file(path)
    path.write_text("prod/eu-1/1f2e3d4c+0123abcd+AAAA")
    assert not is_private_key_file(path)
