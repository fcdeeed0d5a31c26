from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.tail import siblings
from meshtrail.collect.tail.siblings import SWEEP_NS, VANISHED_NS
from tests.tail_rig import SECOND_NS, TailRig, tail_of

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.collect.tail.found_files import FoundFile

SWEEP_SECONDS = SWEEP_NS // SECOND_NS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "logs" / "a.log"
    made.parent.mkdir()
    return made


def test_a_directory_that_may_not_be_looked_at_is_a_problem_and_loses_nothing(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"one\n")
    rig = TailRig(tmp_path, tail_of(path))
    rig.turn()
    path.rename(path.with_name("a.log.1"))
    rig.crash()

    def refuse(directory: str) -> list[FoundFile]:
        raise PermissionError(errno.EACCES, "Permission denied", directory)

    with monkeypatch.context() as patch:
        patch.setattr(siblings, "list_directory", refuse)
        for _ in range(2 + VANISHED_NS // SWEEP_NS):
            rig.turn(SWEEP_SECONDS)
        assert {problem.path for problem in rig.watch.problems} >= {str(path.parent)}
    rig.turn(SWEEP_SECONDS)
    assert (rig.lines(), rig.gaps()) == ([b"one"], [])
    rig.close()


def test_a_file_between_two_looks_that_cannot_be_opened_is_tried_again(
    tmp_path: Path, path: Path
) -> None:
    path.write_bytes(b"one\n")
    rig = TailRig(tmp_path, tail_of(path), files_max=2)
    rig.turn()
    for number in (1, 2):
        path.rename(path.with_name(f"a.log.{number}"))
        path.write_bytes(b"later %d\n" % number)
    rig.turn()
    assert rig.lines() == [b"one", b"later 2"]
    for _ in range(5):
        rig.turn(SWEEP_SECONDS)
    assert rig.lines() == [b"one", b"later 2", b"later 1"]
    rig.close()


def test_what_was_between_two_looks_is_found_though_the_path_leads_nowhere(
    tmp_path: Path, path: Path
) -> None:
    path.write_bytes(b"one\n")
    rig = TailRig(tmp_path, tail_of(path))
    rig.turn()
    path.unlink()
    path.write_bytes(b"two\n")
    path.rename(path.with_name("a.log.1"))
    rig.turn()
    assert rig.lines() == [b"one", b"two"]
    rig.close()


def test_a_path_is_doubted_when_its_inode_may_be_another_files(tmp_path: Path, path: Path) -> None:
    # Of the file that was there nothing was taken: only its inode is known, and may be reused.
    path.write_bytes(b"on")
    rig = TailRig(tmp_path, tail_of(path))
    rig.turn()
    rig.watch.close()
    path.with_name("a.log.1").write_bytes(b"between\n")
    path.write_bytes(b"two\n")
    rig.crash()
    rig.turn()
    assert sorted(rig.lines()) == [b"between", b"two"]
    rig.close()


def test_paths_of_a_pattern_are_forgotten_with_their_files(tmp_path: Path, path: Path) -> None:
    rig = TailRig(tmp_path, tail_of(path.with_name("*.log")))
    for number in range(5):
        path.with_name(f"{number}.log").write_bytes(b"one\n")
        rig.turn(1)
        path.with_name(f"{number}.log").unlink()
    for _ in range(2 + 2 * VANISHED_NS // SWEEP_NS):
        rig.turn(SWEEP_SECONDS)
    assert rig.watch._siblings._led_to == {}
    assert (rig.positions(), rig.watch.open_files) == ((), ())
    rig.close()
