"""Where trust in a key comes from, and what is not taken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail.errors import ConfigError, LayoutError, NoteSyntaxError, SignatureError
from meshtrail.note import format_private_key, format_vkey
from meshtrail.verify import (
    KeySource,
    TrustedKey,
    default_pins_file,
    find_key,
    find_log_key,
    read_pins,
    write_pin,
)
from tests.log_builder import ORIGIN, LogBuilder, make_signer

if TYPE_CHECKING:
    from pathlib import Path

TRUE = make_signer()
KEY = TRUE.verifier
OTHER = make_signer(seed=2).verifier


def find(pins: Path, *, key: str | None = None, required: bool = False) -> TrustedKey:
    return find_key(
        origin=ORIGIN, claimed=KEY, key_option=key, pins_file=pins, is_pin_required=required
    )


def test_key_option_is_trusted_as_text_and_as_file(tmp_path: Path) -> None:
    file = tmp_path / "log.vkey"
    file.write_text(f"{format_vkey(KEY)}\n")
    for option in (format_vkey(KEY), str(file)):
        trusted = find(tmp_path / "pins", key=option)
        assert (trusted.verifier, trusted.source, trusted.is_pinned) == (
            KEY,
            KeySource.OPTION,
            True,
        )


def test_claimed_key_is_used_and_called_not_pinned(tmp_path: Path) -> None:
    trusted = find(tmp_path / "pins")
    assert trusted.source is KeySource.CLAIM
    assert not trusted.is_pinned
    assert trusted.render() == (f"key NOT pinned, compare this fingerprint: {trusted.fingerprint}")
    assert trusted.as_json()["pinned"] is False


def test_required_pin_refuses_a_claimed_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--key"):
        find(tmp_path / "pins", required=True)
    write_pin(tmp_path / "pins", KEY)
    assert find(tmp_path / "pins", required=True).source is KeySource.PIN


def test_absent_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--key"):
        find_key(origin=ORIGIN, claimed=None, key_option=None, pins_file=tmp_path / "pins")


@pytest.mark.parametrize("is_pinned", [True, False])
def test_claimed_key_that_is_not_the_trusted_one_is_refused(
    tmp_path: Path, *, is_pinned: bool
) -> None:
    if is_pinned:
        write_pin(tmp_path / "pins", OTHER)
    with pytest.raises(SignatureError, match="another key"):
        find(tmp_path / "pins", key=None if is_pinned else format_vkey(OTHER))


def test_key_of_another_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="another log"):
        find(tmp_path / "pins", key=format_vkey(make_signer("test/two/00000000").verifier))


@pytest.mark.parametrize("text", ["", "no key", "/nowhere/at/all", format_private_key(TRUE)])
def test_key_option_that_is_no_key_is_refused_and_never_repeated(text: str, tmp_path: Path) -> None:
    with pytest.raises(NoteSyntaxError) as caught:
        find(tmp_path / "pins", key=text)
    assert "PRIVATE+KEY" not in str(caught.value)


def test_pins_are_kept_one_a_line_and_never_replaced(tmp_path: Path) -> None:
    pins = tmp_path / "new" / "pins"
    second = make_signer("test/two/00000000").verifier
    for key in (KEY, second, KEY):
        write_pin(pins, key)
    assert pins.read_text() == f"{format_vkey(KEY)}\n{format_vkey(second)}\n"
    assert pins.stat().st_mode & 0o077 == 0
    assert read_pins(pins) == {ORIGIN: KEY, "test/two/00000000": second}
    with pytest.raises(ConfigError, match="already pins"):
        write_pin(pins, OTHER)


@pytest.mark.parametrize("text", ["no key\n", f"{format_vkey(KEY)}\n{format_vkey(OTHER)}\n"])
def test_pin_file_that_is_damaged_or_ambiguous_is_refused(text: str, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    pins.write_text(text)
    with pytest.raises(ConfigError):
        find(pins)


def test_first_use_of_a_log_writes_the_pin_that_the_second_finds(tmp_path: Path) -> None:
    LogBuilder(tmp_path / "log")
    pins = tmp_path / "pins"
    sources = [
        find_log_key(tmp_path / "log", key_option=None, pins_file=pins).source for _ in range(2)
    ]
    assert sources == [KeySource.CLAIM, KeySource.PIN]


def test_first_use_is_not_remembered_when_it_must_not_be(tmp_path: Path) -> None:
    LogBuilder(tmp_path / "log")
    pins = tmp_path / "pins"
    find_log_key(tmp_path / "log", key_option=None, pins_file=pins, is_remembering=False)
    assert not pins.exists()


def test_log_that_claims_no_key_is_refused(tmp_path: Path) -> None:
    root = LogBuilder(tmp_path / "log").layout.root
    text = (root / "format.toml").read_text()
    (root / "format.toml").write_text(text.replace('key = "', 'key = "x'))
    with pytest.raises(LayoutError, match="claims a key"):
        find_log_key(root, key_option=None, pins_file=tmp_path / "pins")


def test_default_pins_lie_in_the_home_of_meshtrail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(default_pins_file({"MESHTRAIL_HOME": "/m"})) == "/m/pins"
    assert str(default_pins_file({})) == "/home/somebody/.config/meshtrail/pins"
