from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from meshtrail.correlate.pairing.names import NONE, Names, canonical_ip, shorten


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.1", "::ffff:10.0.0.1"),
        ("2001:DB8::1", "2001:db8:0:0:0:0:0:1"),
    ],
)
def test_spellings_of_one_address_have_one_number(one: str, other: str) -> None:
    names = Names(canonical_ip)
    assert names.encode(pa.array([one, other])).tolist() == [0, 0]


@pytest.mark.parametrize("text", ["10.0.0.01", "10.0.0", "fe80::1%eth0", "a\0b", "", "/run/pipe"])
def test_texts_that_are_no_address_stand_for_themselves(text: str) -> None:
    assert canonical_ip(text) == b"text:" + text.encode()


def test_null_has_no_number_plain_or_coded() -> None:
    column = pa.array(["b", None, "a", "b"])
    for form in (column, column.dictionary_encode()):
        assert Names(canonical_ip).encode(form).tolist() == [0, NONE, 1, 0]


def test_hashes_are_the_same_everywhere_and_differ() -> None:
    names = Names(canonical_ip)
    names.encode(pa.array([f"10.0.{n}.1" for n in range(200)]))
    assert len(set(names.hashes.tolist())) == 200
    assert int(names.hashes[0]) == 15_215_372_242_998_924_309


def test_what_is_not_used_is_forgotten_and_the_rest_keeps_its_order() -> None:
    names = Names(canonical_ip)
    names.encode(pa.array(["10.0.0.1", "::ffff:10.0.0.1", "b", "c"]))
    hashes = names.hashes.copy()
    moved = names.renumber(np.array([True, False, True]))
    assert moved.tolist() == [0, NONE, 1, NONE]
    assert names.texts == ["10.0.0.1", "c"]
    assert names.hashes.tolist() == hashes[[0, 2]].tolist()
    assert names.encode(pa.array(["::ffff:10.0.0.1", "c", "b"])).tolist() == [0, 1, 2]


def test_long_texts_are_kept_short_and_apart() -> None:
    one, other = "x" * 5_000, "x" * 4_999 + "y"
    assert len(shorten(one)) < 256
    assert shorten(one) != shorten(other)
    names = Names(canonical_ip)
    assert names.encode(pa.array([one, other, one])).tolist() == [0, 1, 0]
    assert max(map(len, names.texts)) < 256
