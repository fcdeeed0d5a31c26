from __future__ import annotations

import stat
import threading
from typing import TYPE_CHECKING

import pytest

from meshtrail.app.tokens import add_token, default_tokens_file, read_tokens, revoke_token
from meshtrail.collect.token_file import TokenFile
from meshtrail.collect.tokens import Token, make_token
from meshtrail.errors import ConfigError, InputError, KeyFileError, NotFoundError
from meshtrail.units import UnixNanos
from tests.collect_rig import FakeDiag

if TYPE_CHECKING:
    from pathlib import Path


def token(name: str) -> Token:
    now_ns = UnixNanos(1_795_224_685_000_000_000)
    return make_token(name, sources=["otlp"], reporters=["*"], now_ns=now_ns, days=1)[0]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "tokens"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_tokens_lie_beside_the_keys_by_default(tmp_path: Path) -> None:
    assert default_tokens_file(tmp_path) == tmp_path / "tokens"


def test_added_tokens_are_there_for_their_owner_alone(path: Path, data: Path) -> None:
    first, second = token("first"), token("second")
    add_token(path, first, data=data)
    add_token(path, second, data=data)
    assert read_tokens(path) == {first.id: first, second.id: second}
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert [found.name for found in path.parent.iterdir()] == ["tokens"]


def test_what_is_written_is_what_collect_reads(path: Path, data: Path) -> None:
    added = token("first")
    add_token(path, added, data=data)
    assert TokenFile(path, diag=FakeDiag()).find(added.id) == added


def test_group_that_could_read_the_file_can_read_it_still(path: Path, data: Path) -> None:
    add_token(path, token("first"), data=data)
    path.chmod(0o666)
    add_token(path, token("second"), data=data)
    assert mode(path) == 0o640


def test_left_over_temporary_file_lends_its_rights_to_nobody(path: Path, data: Path) -> None:
    path.parent.mkdir()
    temporary = path.with_name("tokens.tmp")
    temporary.touch(mode=0o666)
    temporary.chmod(0o666)
    add_token(path, token("first"), data=data)
    assert mode(path) == 0o600


def test_name_that_is_taken_is_refused(path: Path, data: Path) -> None:
    first = token("first")
    add_token(path, first, data=data)
    with pytest.raises(InputError, match="has a token first already"):
        add_token(path, token("first"), data=data)
    assert read_tokens(path) == {first.id: first}


def test_tokens_file_in_the_data_directory_is_refused(data: Path) -> None:
    with pytest.raises(KeyFileError, match="lies in the data directory"):
        add_token(data / "tokens", token("first"), data=data)
    assert not data.exists()


@pytest.mark.parametrize("by", ["name", "id"])
def test_token_is_revoked_by_its_name_or_its_id(path: Path, data: Path, by: str) -> None:
    first, second = token("first"), token("second")
    add_token(path, first, data=data)
    add_token(path, second, data=data)
    assert revoke_token(path, getattr(first, by)) == first
    assert read_tokens(path) == {second.id: second}


def test_token_that_is_not_there_is_not_revoked(path: Path, data: Path) -> None:
    with pytest.raises(NotFoundError, match="no tokens file"):
        revoke_token(path, "first")
    add_token(path, token("first"), data=data)
    with pytest.raises(NotFoundError, match="has no token 'other'"):
        revoke_token(path, "other")


def test_file_that_holds_something_else_is_never_overwritten(path: Path, data: Path) -> None:
    path.parent.mkdir()
    path.write_text("mine\n")
    with pytest.raises(ConfigError, match="line 1"):
        add_token(path, token("first"), data=data)
    with pytest.raises(ConfigError, match="line 1"):
        revoke_token(path, "first")
    assert path.read_text() == "mine\n"


def test_writers_at_the_same_time_lose_no_token(path: Path, data: Path) -> None:
    tokens = [token(f"t{number}") for number in range(8)]
    writers = [
        threading.Thread(target=add_token, args=(path, added), kwargs={"data": data})
        for added in tokens
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(read_tokens(path)) == {added.id for added in tokens}
