from __future__ import annotations

import gzip
import resource
import zlib

import pytest

from meshtrail.collect.gunzip import gunzip
from meshtrail.errors import InputError, RequestError


@pytest.mark.parametrize("body", [b"", b"x", bytes(1_000), b"ab" * 500])
def test_a_packed_body_is_unpacked(body: bytes) -> None:
    assert gunzip(gzip.compress(body), bytes_max=1_000) == body


def test_a_body_over_the_bound_is_cut_off_there() -> None:
    with pytest.raises(RequestError, match="over 999 bytes") as caught:
        gunzip(gzip.compress(bytes(1_000)), bytes_max=999)
    assert caught.value.facts["http_status"] == 413


def test_a_bomb_is_not_inflated() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(512)), packer.flush()])
    assert len(bomb) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RequestError):
        gunzip(bomb, bytes_max=1 << 20)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain",
        gzip.compress(b"x" * 100)[:-1],
        gzip.compress(b"x" * 100)[:-9],
        gzip.compress(b"x") + b"more",
        gzip.compress(b"x") + gzip.compress(b"y"),
        gzip.compress(b"x")[:-5] + b"\xff" + gzip.compress(b"x")[-4:],
    ],
    ids=["empty", "plain", "short", "shorter", "more", "second member", "bad sum"],
)
def test_what_is_not_one_gzip_member_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="gzip"):
        gunzip(data, bytes_max=1_000)
