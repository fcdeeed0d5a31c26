from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.data import OwnedData, open_data, open_owned_data
from meshtrail.app.keys import read_key_file, write_key_file
from meshtrail.config import LogOptions
from meshtrail.errors import ConfigError, KeyFileError, LayoutError
from meshtrail.note import generate_signer
from meshtrail.store.durable import Disk
from meshtrail.verify.pins import read_pins

if TYPE_CHECKING:
    from pathlib import Path

LOG = LogOptions(mesh="prod", cluster="eu-1")


def open_owned(folder: Path, key_file: Path | None = None, disk: Disk | None = None) -> OwnedData:
    return open_owned_data(
        disk or Disk(),
        folder / "a" / "data",
        log=LOG,
        key_file=key_file,
        home=folder / "home",
        pins_file=folder / "home" / "pins",
    )


def test_the_first_start_makes_the_directory_its_name_its_key_and_a_pin(tmp_path: Path) -> None:
    owned = open_owned(tmp_path)
    origin = owned.signer.name
    assert owned.is_new
    mesh, cluster, digits = origin.split("/")
    assert (mesh, cluster, len(digits), int(digits, 16) >= 0) == ("prod", "eu-1", 8, True)
    assert owned.key_file == tmp_path / "home" / "keys" / f"prod_eu-1_{digits}.key"
    assert stat.S_IMODE(owned.key_file.stat().st_mode) == 0o600
    assert open_data(owned.layout.root).claimed_key == owned.signer.verifier
    assert read_pins(tmp_path / "home" / "pins") == {origin: owned.signer.verifier}
    assert not any("PRIVATE" in path.read_text() for path in owned.layout.root.rglob("*.toml"))


def test_a_later_start_finds_the_same_log(tmp_path: Path) -> None:
    first, second = open_owned(tmp_path), open_owned(tmp_path)
    assert not second.is_new
    assert second.signer.verifier == first.signer.verifier
    assert second.key_file == first.key_file


def test_two_directories_never_get_the_same_name(tmp_path: Path) -> None:
    names = {open_owned(tmp_path / str(number)).signer.name for number in range(5)}
    assert len(names) == 5


def test_a_key_made_beforehand_names_the_log(tmp_path: Path) -> None:
    path = tmp_path / "made.key"
    write_key_file(path, generate_signer("other/west/0badcafe"))
    owned = open_owned(tmp_path, path)
    assert owned.signer.name == open_data(owned.layout.root).origin == "other/west/0badcafe"


@pytest.mark.parametrize("name", ["witness.example", "a/b", "a/b/c/d", "a//c"])
def test_a_key_whose_name_is_no_origin_makes_no_log(tmp_path: Path, name: str) -> None:
    path = tmp_path / "made.key"
    write_key_file(path, generate_signer(name))
    with pytest.raises(KeyFileError, match="MESH/CLUSTER/ID"):
        open_owned(tmp_path, path)
    assert not (tmp_path / "a" / "data" / "format.toml").exists()


def test_a_key_file_that_is_named_and_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "named" / "log.key"
    owned = open_owned(tmp_path, path)
    assert read_key_file(path).verifier == owned.signer.verifier


def test_another_logs_key_is_refused_with_both_names(tmp_path: Path) -> None:
    owned = open_owned(tmp_path)
    path = tmp_path / "other.key"
    write_key_file(path, generate_signer(owned.signer.name))
    with pytest.raises(KeyFileError, match="is the key of") as caught:
        open_owned(tmp_path, path)
    assert owned.signer.key_id.hex() in caught.value.message


def test_a_lost_key_stops_the_start_and_no_new_one_is_made(tmp_path: Path) -> None:
    owned = open_owned(tmp_path)
    owned.key_file.unlink()
    with pytest.raises(KeyFileError, match="no private key"):
        open_owned(tmp_path)
    assert list(owned.key_file.parent.iterdir()) == []


def test_a_folder_with_other_peoples_files_is_left_alone(tmp_path: Path) -> None:
    root = tmp_path / "a" / "data"
    root.mkdir(parents=True)
    (root / "photo.jpg").touch()
    with pytest.raises(ConfigError, match=r"photo\.jpg"):
        open_owned(tmp_path)
    assert [path.name for path in root.iterdir()] == ["photo.jpg"]
    assert not (tmp_path / "home").exists()


def test_a_file_in_the_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "data").touch()
    with pytest.raises(ConfigError, match="is a file"):
        open_owned(tmp_path)


def test_a_first_start_that_a_crash_cut_short_is_made_again(tmp_path: Path) -> None:
    class Crash(Exception):  # noqa: N818 - it stands for the end of the process
        pass

    class Crashing(Disk):
        def rename(self, old: Path, new: Path) -> None:
            raise Crash(old, new)

    with pytest.raises(Crash):
        open_owned(tmp_path, disk=Crashing())
    owned = open_owned(tmp_path)
    assert open_data(owned.layout.root).claimed_key == owned.signer.verifier


def test_a_directory_of_a_newer_layout_is_refused(tmp_path: Path) -> None:
    owned = open_owned(tmp_path)
    path = owned.layout.format_file
    path.write_text(path.read_text().replace("layout = 2", "layout = 3"))
    for opened in (lambda: open_data(owned.layout.root), lambda: open_owned(tmp_path)):
        with pytest.raises(LayoutError, match="layout 2"):
            opened()


def test_a_directory_is_made_while_nobody_else_can_begin_to_make_it(tmp_path: Path) -> None:
    # Two first starts at once would make two keys for one directory.
    was_held = []

    class Watching(Disk):
        def rename(self, old: Path, new: Path) -> None:
            descriptor = os.open(tmp_path / "a" / "data", os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                was_held.append(new.name)
            finally:
                os.close(descriptor)
            super().rename(old, new)

    open_owned(tmp_path, disk=Watching())
    assert was_held == ["format.toml"]
    # And afterwards it is free again.
    open_owned(tmp_path)
