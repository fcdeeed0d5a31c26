from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.token_file import TokenFile
from meshtrail.collect.tokens import Token, format_tokens, make_token
from meshtrail.errors import ConfigError
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag

if TYPE_CHECKING:
    from pathlib import Path


def token(name: str) -> Token:
    now_ns = UnixNanos(1_795_224_685_000_000_000)
    return make_token(name, sources=["otlp"], reporters=["*"], now_ns=now_ns, days=1)[0]


FIRST, SECOND = token("first"), token("second")


def write(path: Path, data: bytes) -> None:
    """Replace a file, as ``meshtrail keys token`` does."""
    temporary = path.with_name("new")
    temporary.write_bytes(data)
    temporary.chmod(0o600)
    temporary.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "tokens"
    write(found, format_tokens([FIRST]))
    return found


@pytest.fixture
def diag() -> FakeDiag:
    return FakeDiag()


def test_token_is_found_by_its_id(path: Path, diag: FakeDiag) -> None:
    file = TokenFile(path, diag=diag)
    assert file.find(FIRST.id) == FIRST
    assert file.find(SECOND.id) is None
    assert diag.events == []


def test_changed_file_is_read_again_once(path: Path, diag: FakeDiag) -> None:
    file = TokenFile(path, diag=diag)
    write(path, format_tokens([SECOND]))
    assert file.find(SECOND.id) == SECOND
    assert file.find(FIRST.id) is None
    assert diag.facts("tokens_read") == {"path": str(path), "tokens_count": 1}


@pytest.mark.parametrize("bad", ["nothing", "gone", "writable by others"])
def test_bad_file_changes_nothing_and_rings_once(path: Path, diag: FakeDiag, bad: str) -> None:
    file = TokenFile(path, diag=diag)
    write(path, b"nothing" if bad == "nothing" else format_tokens([SECOND]))
    if bad == "gone":
        path.unlink()
    elif bad == "writable by others":
        path.chmod(0o620)
    for _ in range(2):
        assert file.find(FIRST.id) == FIRST
        assert file.find(SECOND.id) is None
    assert diag.alarms() == ["tokens_refused"]
    write(path, format_tokens([SECOND]))
    assert file.find(SECOND.id) == SECOND


def test_missing_file_refuses_the_start(tmp_path: Path, diag: FakeDiag) -> None:
    with pytest.raises(ConfigError, match="tokens: No such file"):
        TokenFile(tmp_path / "tokens", diag=diag)


def test_file_that_others_can_write_to_refuses_the_start(path: Path, diag: FakeDiag) -> None:
    path.chmod(0o622)
    with pytest.raises(ConfigError, match="mode 0622: others than its owner can write"):
        TokenFile(path, diag=diag)


def test_file_that_is_too_large_is_refused(path: Path, diag: FakeDiag) -> None:
    write(path, b"\n" * ((8 << 20) + 1))
    with pytest.raises(ConfigError, match="larger than 8388608 bytes"):
        TokenFile(path, diag=diag)
