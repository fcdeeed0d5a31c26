"""Writing proofs and bundles to files outside DATA.

The files are for somebody else: they are written anew and never replace anything unasked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshtrail.errors import ConfigError
from meshtrail.verify.bundle import bundle_files, pack
from meshtrail.verify.evidence import Evidence, ProvenLog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from meshtrail.note import Checkpoint
    from meshtrail.verify.pins import TrustedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ProveReport:
    """What was written.

    Attributes:
        files: every file, in the order in which it was written.
    """

    checkpoint: Checkpoint
    trusted: TrustedKey
    evidence: tuple[Evidence, ...]
    files: tuple[Path, ...]

    def as_json(self) -> dict[str, object]:
        """Plain facts."""
        return {
            "origin": self.checkpoint.origin,
            "tree_size": self.checkpoint.tree_size,
            "root_hash": self.checkpoint.root_hash.hex(),
            **self.trusted.as_json(),
            "entries": [one.as_json() for one in self.evidence],
            "files": [str(path) for path in self.files],
        }

    def render(self) -> str:
        """Some lines for people; ends in a newline."""
        size, origin = self.checkpoint.tree_size, self.checkpoint.origin
        lines = [
            f"{len(self.evidence)} of the {size} entries of {origin}, each with its proof",
            self.trusted.render(),
            *(f"wrote {path}" for path in self.files),
        ]
        return "".join(f"{line}\n" for line in lines)


def prove(
    root: Path,
    indexes: Sequence[int],
    *,
    trusted: TrustedKey,
    out: Path,
    is_overwriting: bool = False,
) -> ProveReport:
    """Write ``<index>.tlog-proof`` and ``<index>.entry`` for each index into a folder.

    Raises:
        NotFoundError: an index outside the published log; nothing is written then.
        TamperError: what is stored is not what was signed; nothing is written then.
        ConfigError: a file is there already, or cannot be written.
    """
    log = ProvenLog(root, trusted)
    evidence = tuple(log.prove(indexes, has_events=False))
    contents = {
        out / f"{one.leaf_index}.{suffix}": data
        for one in evidence
        for suffix, data in (("tlog-proof", one.proof), ("entry", one.entry))
    }
    _write(contents, is_overwriting=is_overwriting)
    return ProveReport(
        checkpoint=log.checkpoint, trusted=trusted, evidence=evidence, files=tuple(contents)
    )


def write_bundle(
    root: Path,
    indexes: Sequence[int],
    *,
    trusted: TrustedKey,
    path: Path,
    is_overwriting: bool = False,
) -> ProveReport:
    """Write a case bundle with the entries at some indexes.

    Raises:
        NotFoundError, TamperError, ConfigError: see ``prove``.
    """
    log = ProvenLog(root, trusted)
    evidence = tuple(log.prove(indexes))
    files = bundle_files(
        evidence, checkpoint=log.checkpoint, note=log.checkpoint_note, trusted=trusted
    )
    _write({path: pack(files)}, is_overwriting=is_overwriting)
    return ProveReport(checkpoint=log.checkpoint, trusted=trusted, evidence=evidence, files=(path,))


def _write(contents: dict[Path, bytes], *, is_overwriting: bool) -> None:
    for path in contents:
        if path.exists() and not is_overwriting:
            raise ConfigError(f"{path} is there already", path=path)
    for path, data in contents.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}", path=path) from error
