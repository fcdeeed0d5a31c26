from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.collect.webhook_secret import SECRET_BYTES_MAX, WebhookSecret
from meshtrail.errors import ConfigError
from tests.collect_rig import FakeDiag

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "secret", b"hush-1234\n")


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_the_secret_is_the_line_of_the_file(path: Path, ending: bytes) -> None:
    write(path, b" hush 1234" + ending)
    assert WebhookSecret(path, diag=FakeDiag()).current() == b" hush 1234"


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o660])
def test_a_file_that_others_can_touch_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"has mode {mode:04o}") as caught:
        WebhookSecret(path, diag=FakeDiag())
    assert "hush" not in caught.value.message


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_of_its_owner_alone_is_taken(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert WebhookSecret(path, diag=FakeDiag()).current() == b"hush-1234"


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"\r\n\n", b"hush\nhush", b"x" * (SECRET_BYTES_MAX + 1)]
)
def test_a_file_without_one_secret_is_refused(path: Path, data: bytes) -> None:
    write(path, data)
    with pytest.raises(ConfigError, match="want one line") as caught:
        WebhookSecret(path, diag=FakeDiag())
    assert "hush" not in caught.value.message


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        WebhookSecret(tmp_path / "none", diag=FakeDiag())


def test_a_new_secret_is_taken_up(path: Path) -> None:
    diag = FakeDiag()
    secret = WebhookSecret(path, diag=diag)
    write(path, b"another-one\n")
    assert secret.current() == b"another-one"
    assert diag.facts("webhook_secret_read") == {"path": str(path)}
    assert "another" not in repr(diag.events)


def test_a_bad_file_changes_nothing_and_rings_once(path: Path) -> None:
    diag = FakeDiag()
    secret = WebhookSecret(path, diag=diag)
    write(path, b"unheard-of\n", mode=0o644)
    assert [secret.current() for _ in range(3)] == [b"hush-1234"] * 3
    assert diag.alarms() == ["webhook_secret_refused"]
    path.unlink()
    assert [secret.current() for _ in range(3)] == [b"hush-1234"] * 3
    assert diag.alarms() == ["webhook_secret_refused"] * 2
    write(path, b"good-again\n")
    assert secret.current() == b"good-again"
    assert "unheard" not in repr(diag.events)
