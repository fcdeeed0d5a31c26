"""Where everything lies in DATA, and the one file that says which layout it is.

Specified in docs/formats/layout.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meshtrail.errors import LayoutError, ManifestSyntaxError
from meshtrail.store.durable import make_directory, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from meshtrail.store.durable import Disk

LAYOUT_VERSION: Final = 2
NAME_DIGITS: Final = 12
_RANGE_NAME = re.compile(r"(segments|tiles)/([0-9]{12})-([0-9]{12})\.(parquet|tiles)")
_VERSION_LINE = re.compile(r"layout = ([1-9][0-9]{0,8})\n")
# A TOML string without escapes. Matched, not parsed: a TOML parser fails in its own ways on what a
# stranger wrote, deep nesting for one.
_STRING = r'"([^"\\\x00-\x1f\x7f]+)"'
_FORMAT = re.compile(rf"{_VERSION_LINE.pattern}origin = {_STRING}\nkey = {_STRING}\n")
_SUFFIXES: Final = {"segments": ".parquet", "tiles": ".tiles"}


@dataclass(frozen=True, slots=True, order=True)
class RangeFile:
    """The name of a segment or tiles file: which leaves it covers.

    Attributes:
        folder: ``segments`` or ``tiles``.
        start: first leaf index.
        end: leaf index after the last.
    """

    folder: str
    start: int
    end: int

    @property
    def path(self) -> str:
        """Path relative to DATA."""
        suffix = _SUFFIXES[self.folder]
        return f"{self.folder}/{self.start:0{NAME_DIGITS}}-{self.end:0{NAME_DIGITS}}{suffix}"


def segment_file(start: int, end: int) -> RangeFile:
    """The name of the segment of leaves [start, end)."""
    return RangeFile("segments", start, end)


def tiles_file(start: int, end: int) -> RangeFile:
    """The name of the tiles file of leaves [start, end)."""
    return RangeFile("tiles", start, end)


def parse_range_file(path: str) -> RangeFile:
    """Read the name of a segment or tiles file.

    Raises:
        ManifestSyntaxError: not the canonical name of either.
    """
    match = _RANGE_NAME.fullmatch(path)
    if match:
        named = RangeFile(match[1], int(match[2]), int(match[3]))
        if named.path == path and named.start < named.end:
            return named
    raise ManifestSyntaxError(f"{path!r} is not the name of a segment or tiles file", path=path)


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of one data directory."""

    root: Path

    @property
    def format_file(self) -> Path:
        """Layout version, origin and claimed key."""
        return self.root / "format.toml"

    @property
    def lock(self) -> Path:
        """Held by the sealer."""
        return self.root / "lock"

    @property
    def published(self) -> Path:
        """The latest checkpoint that readers may rely on."""
        return self.root / "published" / "checkpoint"

    @property
    def checkpoints(self) -> Path:
        """One file a day with every checkpoint ever signed."""
        return self.root / "checkpoints"

    @property
    def manifests(self) -> Path:
        """The manifests."""
        return self.root / "manifest"

    @property
    def segments(self) -> Path:
        """The segments."""
        return self.root / "segments"

    @property
    def tiles(self) -> Path:
        """The tiles files."""
        return self.root / "tiles"

    @property
    def blobs(self) -> Path:
        """Content-addressed bytes too large for an entry."""
        return self.root / "blobs"

    @property
    def journals(self) -> Path:
        """One folder for each journal writer."""
        return self.root / "journal"

    def blob(self, sha256: bytes) -> Path:
        """Where the blob of this digest lies."""
        return self.blobs / sha256.hex()

    def folders(self) -> tuple[Path, ...]:
        """Every folder of the layout."""
        return (
            self.published.parent,
            self.checkpoints,
            self.manifests,
            self.segments,
            self.tiles,
            self.blobs,
            self.journals,
        )


@dataclass(frozen=True, slots=True)
class Format:
    """What format.toml says. The key is a claim: trust in it comes from outside the directory."""

    origin: str
    key: str
    version: int = LAYOUT_VERSION

    def format(self) -> str:
        """The file's text."""
        return f'layout = {self.version}\norigin = "{self.origin}"\nkey = "{self.key}"\n'


def create_layout(disk: Disk, layout: Layout, described: Format) -> None:
    """Make a new data directory; format.toml comes last, so a half-made one is made again.

    Raises:
        LayoutError: origin or key cannot stand in a format.toml.
        DurabilityError: the disk refuses.
    """
    text = described.format()
    parse_format(text, layout.format_file)
    missing = [path for path in (layout.root, *layout.root.parents) if not path.is_dir()]
    for folder in (*reversed(missing), *layout.folders()):
        make_directory(disk, folder)
    replace_file(disk, layout.format_file, text.encode())


def read_format(layout: Layout) -> Format:
    """Read format.toml.

    Raises:
        LayoutError: there is none, it is of another layout, or it does not read back.
    """
    try:
        text = layout.format_file.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise LayoutError(
            f"{layout.root} is not a meshtrail data directory: it has no format.toml. "
            "Name one with --data, or start `meshtrail up` to make one",
            path=layout.root,
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{layout.format_file}: {error}", path=layout.format_file) from error
    return parse_format(text, layout.format_file)


def parse_format(text: str, path: Path) -> Format:
    """Read the text of format.toml: exactly what ``Format.format`` writes.

    Args:
        text: its text.
        path: for the message.

    Raises:
        LayoutError: it is of another layout, or not canonical.
    """
    version = _VERSION_LINE.match(text)
    if version and int(version[1]) != LAYOUT_VERSION:
        other = "a newer" if int(version[1]) > LAYOUT_VERSION else "an older"
        raise LayoutError(
            f"{path} says layout {version[1]}, this meshtrail reads layout {LAYOUT_VERSION}: "
            f"use {other} meshtrail",
            path=path,
            want=LAYOUT_VERSION,
            got=int(version[1]),
        )
    match = _FORMAT.fullmatch(text)
    if match is None:
        raise LayoutError(f"{path} is not in its canonical form", path=path)
    return Format(origin=match[2], key=match[3], version=int(match[1]))
