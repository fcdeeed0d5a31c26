"""Reading a bundle that anyone may have made: the names that there are, each once, bounded in size.

A zip can name a file twice, outside its folder, or with more bytes than it says; and it can be read
as two different archives by two programs. Nothing of that is taken.
"""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import BundleError
from meshtrail.model.entry import ENTRY_BYTES_MAX
from meshtrail.note.signed_note import NOTE_BYTES_MAX
from meshtrail.verify.bundle import CHECKER, CHECKPOINT, EVENTS, KEY, README

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_INDEX: Final = r"(0|[1-9][0-9]{0,18})"
ENTRY_NAME: Final = re.compile(rf"entries/{_INDEX}\.entry")
PROOF_NAME: Final = re.compile(rf"proofs/{_INDEX}\.tlog-proof")
TOTAL_BYTES_MAX: Final = 512 << 20

_BYTES_MAX: Final = {
    README: 1 << 20,
    CHECKPOINT: NOTE_BYTES_MAX,
    KEY: 4096,
    EVENTS: 256 << 20,
    CHECKER: 1 << 20,
}
_PROOF_BYTES_MAX: Final = 1 << 20
_FOLDERS: Final = frozenset({"entries/", "proofs/"})
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
"""The record that a zip ends with; it is longer when there is a comment, and a bundle has none."""

_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ZIP_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class BundleContents:
    """The files of a bundle; nobody has checked what they say.

    Attributes:
        entries, proofs: by leaf index, the same indexes in both, at least one.
    """

    files: Mapping[str, bytes]
    entries: Mapping[int, bytes]
    proofs: Mapping[int, bytes]


def read_bundle(path: Path) -> BundleContents:
    """Read a bundle.

    Raises:
        BundleError: it is not a zip of exactly the files that a bundle has.
    """
    try:
        with path.open("rb") as file:
            file.seek(-_END_BYTES, os.SEEK_END)
            is_last = file.read(len(_END)) == _END
            with zipfile.ZipFile(file) as archive:
                files = _read_members(archive, is_last=is_last)
    except _ZIP_ERRORS as error:
        raise BundleError(f"{path} is no zip that can be read: {error}", path=path) from error
    missing = sorted(_BYTES_MAX.keys() - files.keys())
    if missing:
        raise BundleError(f"the bundle has no {', '.join(missing)}", path=path)
    entries, proofs = _by_index(files, ENTRY_NAME), _by_index(files, PROOF_NAME)
    odd = sorted(entries.keys() ^ proofs.keys())
    if odd or not entries:
        what = f"entry {odd[0]} without its proof, or the other way round" if odd else "no entry"
        raise BundleError(f"the bundle has {what}", path=path)
    return BundleContents(files, entries, proofs)


def _read_members(archive: zipfile.ZipFile, *, is_last: bool) -> dict[str, bytes]:
    members = archive.infolist()
    # Bytes around the archive could be another archive, which another program would open.
    if not is_last or min((member.header_offset for member in members), default=0):
        raise BundleError("the bundle has bytes before or behind its zip")
    if sum(member.file_size for member in members) > TOTAL_BYTES_MAX:
        raise BundleError(f"the files of the bundle have over {TOTAL_BYTES_MAX} bytes")
    files: dict[str, bytes] = {}
    for member in members:
        # As it was written: what zipfile calls filename ends at a zero byte.
        name = member.orig_filename
        if name in _FOLDERS and not member.file_size:
            continue
        limit = _limit(name)
        if name in files:
            raise BundleError(f"the bundle has two files {name!a}", name=name)
        if member.compress_type not in _METHODS:
            raise BundleError(f"{name} is compressed in a way that bundles are not", name=name)
        with archive.open(member) as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise BundleError(f"{name} has over {limit} bytes", name=name)
        files[name] = data
    return files


def _limit(name: str) -> int:
    """How many bytes a file may have; BundleError when a bundle has no such file."""
    if name in _BYTES_MAX:
        return _BYTES_MAX[name]
    if ENTRY_NAME.fullmatch(name):
        return ENTRY_BYTES_MAX
    if PROOF_NAME.fullmatch(name):
        return _PROOF_BYTES_MAX
    raise BundleError(f"a bundle has no file {name!a}", name=name)


def _by_index(files: Mapping[str, bytes], pattern: re.Pattern[str]) -> dict[int, bytes]:
    found = ((pattern.fullmatch(name), data) for name, data in files.items())
    return {int(match[1]): data for match, data in found if match}
