"""The chain of manifests: what follows, what may be gone, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meshtrail.note import sign_note
from meshtrail.store.manifest import (
    JournalPosition,
    Manifest,
    format_manifest,
    manifest_digest,
    parse_manifest,
)
from meshtrail.units import TreeSize
from meshtrail.verify.manifests import Chain, extend_chain, read_chain
from meshtrail.verify.snapshot import read_manifests_after
from tests.log_builder import EntryWriter, LogBuilder, build_small_log, http_record, make_signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIGNER = make_signer()
Raw = list[tuple[int, bytes | None]]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Raw:
    builder = build_small_log(tmp_path_factory.mktemp("manifests") / "log")
    return list(read_manifests_after(builder.layout, -1))


def checks(chain: Chain) -> list[tuple[str, str]]:
    return [(one.check, one.subject) for one in chain.findings]


def name(number: int) -> str:
    return f"manifest/{number:012}"


def edited(raw: Raw, number: int, change: Callable[[Manifest], Manifest]) -> Raw:
    """The manifests with one changed, and all behind it signed again to follow."""
    result: Raw = []
    previous: bytes | None = None
    for at, data in raw:
        assert data is not None
        manifest = parse_manifest(data.decode().partition("\n\n")[0] + "\n")
        if at > number:
            manifest = replace(manifest, previous=previous)
        if at == number:
            manifest = change(manifest)
        signed = sign_note(format_manifest(manifest), [SIGNER])
        previous = manifest_digest(signed)
        result.append((at, signed))
    return result


def test_honest_chain_is_clean_and_folds_to_the_live_files(raw: Raw) -> None:
    chain = read_chain(raw, SIGNER.verifier)
    assert checks(chain) == []
    assert chain.live is not None
    assert [(f.named.start, f.named.end) for f in chain.live.folder("segments")] == [
        (0, 11),
        (11, 13),
        (13, 16),
    ]
    assert chain.tree_size == 16


def test_chain_goes_on_with_manifests_that_come_later(raw: Raw) -> None:
    chain = read_chain(raw[:3], SIGNER.verifier)
    extend_chain(chain, raw[3:], SIGNER.verifier)
    assert checks(chain) == []
    assert chain.tree_size == 16


@pytest.mark.parametrize(
    ("number", "change"),
    [
        (4, lambda one: replace(one, previous=bytes(32))),
        (4, lambda one: replace(one, tree_size=TreeSize(10))),
        (4, lambda one: replace(one, time_ns=1)),
        (4, lambda one: replace(one, journals=())),
        (4, lambda one: replace(one, journals=(JournalPosition("collect", 0, 10**9),))),
        (4, lambda one: replace(one, files=one.files[:1])),
        (4, lambda one: replace(one, files=one.files[1:])),
        (3, lambda one: replace(one, dropped=one.dropped[1:])),
        (3, lambda one: replace(one, files=one.files[:1])),
        (0, lambda one: replace(one, previous=bytes(32))),
        (0, lambda one: replace(one, is_snapshot=False)),
        (4, lambda one: replace(one, number=5)),
        (
            4,
            lambda one: replace(
                one,
                files=(replace(one.files[0], bytes_count=1), replace(one.files[1], bytes_count=1)),
            ),
        ),
    ],
)
def test_signed_manifest_that_breaks_a_rule_is_a_manifest_error(
    raw: Raw, number: int, change: Callable[[Manifest], Manifest]
) -> None:
    found = checks(read_chain(edited(raw, number, change), SIGNER.verifier))
    assert ("ManifestError", name(number)) in found
    assert {check for check, _ in found} == {"ManifestError"}


def test_signed_snapshot_of_another_set_is_a_manifest_error(raw: Raw) -> None:
    def to_snapshot(one: Manifest) -> Manifest:
        return replace(one, is_snapshot=True, dropped=())

    found = checks(read_chain(edited(raw, 5, to_snapshot), SIGNER.verifier))
    assert found == [("ManifestError", name(5))]


@pytest.mark.parametrize("data", [None, b"", b"no manifest", b"\xff"])
def test_unreadable_manifest_is_named_alone(raw: Raw, data: bytes | None) -> None:
    for number in range(6):
        spoiled = [(at, data if at == number else one) for at, one in raw]
        chain = read_chain(spoiled, SIGNER.verifier)
        check = "MissingFileError" if data is None else "SignatureError"
        assert checks(chain)[0] == (check, name(number))
        assert {subject for _, subject in checks(chain)} == {name(number)}


def test_manifest_of_another_key_is_read_on_as_a_claim(raw: Raw) -> None:
    text = (raw[5][1] or b"").decode().partition("\n\n")[0] + "\n"
    forged = [*raw[:5], (5, sign_note(text, [make_signer(seed=9)]))]
    chain = read_chain(forged, SIGNER.verifier)
    assert checks(chain) == [("SignatureError", name(5))]
    assert chain.newest is not None
    assert not chain.newest.is_signed
    assert chain.tree_size == 16


def test_hole_in_the_numbers_is_named_and_the_live_files_go_on(raw: Raw) -> None:
    for number in range(1, 5):
        chain = read_chain([one for one in raw if one[0] != number], SIGNER.verifier)
        assert checks(chain) == [("MissingFileError", name(number))]
        assert chain.live is not None
        if number != 4:
            chain.live.check_cover(16, number=5)


def long_chain(root: Path) -> Raw:
    """A log with three snapshots: two starts and a manifest whose number asks for one."""
    builder = LogBuilder(root)
    writer = EntryWriter()
    builder.seal([writer.opened(22)])
    for _ in range(2):
        builder.commit_manifest((), (), reasons=("start",))
        builder.seal([writer.record(22, http_record(1))])
    return list(read_manifests_after(builder.layout, -1))


def test_manifests_before_two_snapshots_may_be_gone(tmp_path: Path) -> None:
    raw = long_chain(tmp_path / "log")
    for first in (1, 2):
        chain = read_chain(raw[first:], SIGNER.verifier)
        assert checks(chain) == [("removed-manifests", name(first))]
        assert chain.live is not None
        chain.live.check_cover(3, number=5)


def test_manifests_before_the_last_snapshot_alone_are_missed(tmp_path: Path) -> None:
    raw = long_chain(tmp_path / "log")
    for first in (3, 4):
        chain = read_chain(raw[first:], SIGNER.verifier)
        assert checks(chain) == [("MissingFileError", name(first - 1))]


def test_no_manifests_at_all_are_no_fault_by_themselves() -> None:
    chain = read_chain([], SIGNER.verifier)
    assert (checks(chain), chain.newest, chain.tree_size) == ([], None, 0)
