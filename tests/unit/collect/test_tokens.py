from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from meshtrail.collect.tokens import Token, format_tokens, make_token, parse_token, parse_tokens
from meshtrail.errors import InputError
from meshtrail.units import UnixNanos

NOW = UnixNanos(1_795_224_685_123_456_789)
LINE: dict[str, Any] = {
    "id": "0123456789abcdef",
    "name": "shop",
    "sha256": "ab" * 32,
    "sources": ["otlp"],
    "reporters": ["shop-*"],
    "created": "2026-11-21T01:31:25Z",
    "expires": "2026-12-21T01:31:25Z",
}


def make(**changed: Any) -> tuple[Token, str]:
    wanted: dict[str, Any] = {
        "sources": ["otlp", "envoy-als", "otlp"],
        "reporters": ["shop-*"],
        "now_ns": NOW,
        "days": 30,
        **changed,
    }
    return make_token(wanted.pop("name", "shop"), **wanted)


def line(**changed: Any) -> bytes:
    return json.dumps({**LINE, **changed}).encode() + b"\n"


def test_token_has_256_random_bits_of_which_only_the_hash_is_kept() -> None:
    token, text = make()
    found_id, secret = parse_token(text)
    assert text.startswith("mtt_")
    assert (found_id, len(secret)) == (token.id, 32)
    assert token.secret_sha256 == hashlib.sha256(secret).digest()
    assert secret.hex() not in format_tokens([token]).decode()
    assert secret.hex() not in repr(token)
    assert make()[1] != text


def test_token_knows_its_secret_and_no_other() -> None:
    token, text = make()
    secret = parse_token(text)[1]
    assert token.has_secret(secret)
    assert not token.has_secret(secret[:-1] + bytes([secret[-1] ^ 1]))
    assert not token.has_secret(b"")


def test_tokens_that_are_written_are_read_back() -> None:
    tokens = [make()[0], make(name="b", days=1)[0]]
    data = format_tokens(tokens)
    assert data.count(b"\n") == 2
    assert list(parse_tokens(data).values()) == tokens
    first = json.loads(data.split(b"\n")[0])
    assert (first["created"], first["expires"]) == ("2026-11-21T01:31:25Z", "2026-12-21T01:31:25Z")
    assert first["sources"] == ["envoy-als", "otlp"]


def test_empty_lines_are_no_tokens() -> None:
    assert list(parse_tokens(b"\n" + line() + b"\n")) == [LINE["id"]]
    assert parse_tokens(b"") == {}


@pytest.mark.parametrize(
    "text",
    ["", "mtt_", "mtt_0123456789abcdef_", f"mtt_0123456789abcdef_{'a' * 63}",
     f"mtt_0123456789abcdef_{'a' * 65}", f"mtt_0123456789ABCDEF_{'a' * 64}",
     f"mtt_0123456789abcdef_{'A' * 64}", f"mtt_0123456789abcdef_{'a' * 64}\n",
     f" mtt_0123456789abcdef_{'a' * 64}", f"xtt_0123456789abcdef_{'a' * 64}"],
)  # fmt: skip
def test_what_is_not_written_as_a_token_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InputError, match="not written as a token") as caught:
        parse_token(text)
    assert "aaaa" not in caught.value.message.lower()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"name": "a b"}, "token name"),
        ({"name": ""}, "token name"),
        ({"name": "0123456789abcdef"}, "not 16 hex digits"),
        ({"sources": ["syslog"]}, "sources are envoy-als, envoy-metrics, otlp, .*, got syslog"),
        ({"sources": []}, "got none"),
        ({"reporters": []}, "name its reporters"),
        ({"reporters": [""]}, "1 to 256 printable"),
        ({"reporters": ["a\nb"]}, "1 to 256 printable"),
        ({"reporters": ["x" * 257]}, "1 to 256 printable"),
        ({"reporters": [f"{number:0256}" for number in range(33)]}, "over 8192 bytes together"),
        ({"days": 0}, "1 to 3650 days, got 0"),
        ({"days": 3_651}, "1 to 3650 days"),
    ],
)
def test_token_that_makes_no_sense_is_refused(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        make(**changed)


@pytest.mark.parametrize(
    "second",
    [
        b"{}",
        b"[]",
        b"\xff",
        b"{" * 100_000,
        line(id="0123456789abcdeF"),
        line(name="other", secret="x"),
        line(id="1" * 16, name="other", sha256="AB" * 32),
        line(id="1" * 16, name="other", sha256="ab" * 31),
        line(id="1" * 16, name="other", sha256="zz" * 32),
        line(id="1" * 16, name="other", created="2026-11-21"),
        line(id="1" * 16, name="other", created="2026-11-21T01:31:25"),
        line(id="1" * 16, name="other", created="2026-11-21T01:31:25+00:00"),
        line(id="1" * 16, name="other", expires="2026-11-21T01:31:25Z"),
        line(id="1" * 16, name="other", expires=None),
        line(name="other"),
        line(id="1" * 16),
    ],
)
def test_line_that_is_no_token_is_refused_by_its_number(second: bytes) -> None:
    with pytest.raises(InputError, match="line 2: "):
        parse_tokens(line() + second)
