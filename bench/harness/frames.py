"""Recorded frames: exact messages of real Envoys, and how to repeat them with new ids.

``NAME.bin`` holds one frame after the other, each behind its stream and its length (u32 each,
little-endian); ``NAME.ids.npy`` says where in it the ids stand whose last eight hex digits a repeat
overwrites, and ``NAME.binary_ids.npy``, which only recordings with such ids have, where the last
four bytes of binary ones. The bytes of a first pass are the recorded ones. In pass ``p`` those
digits are the recorded ones XOR a constant of ``p``: as random as they were, of the same length (so
the protobuf framing holds), unique over all passes, and the same in every report of a request,
whether it spells an id out or not.
"""

from __future__ import annotations

import re
import struct
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy.typing as npt

FRAME_HEAD = struct.Struct("<II")
ID_DTYPE = np.dtype([("offset", "<i8"), ("digits", "<u4")])
ID_DIGITS = 8
_BINARY_BYTES = 4
PASS_FACTOR = 0x9E3779B1
"""Odd, so ``p * PASS_FACTOR`` modulo 2^32 is another constant for each pass."""

_UUID = rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TRACEPARENT = rb"00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-9a-f]"
_IDS = re.compile(rb"(" + _UUID + rb")|(" + _TRACEPARENT + rb")")
_UUID_DIGITS_AT = 28
_TRACE_DIGITS_AT = (27, 44)
"""In a ``traceparent``: those of the trace, and of the span."""
_HEX_PAIRS = np.frombuffer(
    b"".join(f"{number:04x}".encode() for number in range(1 << 16)), dtype="<u4"
)
"""The four hex digits of each 16-bit number, as the bytes that they are."""


class FrameWriter:
    """Writes frames as they arrive, in the order of arrival over all streams; thread-safe."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO = path.open("wb")
        self.frames_count = 0
        self.frames_bytes = 0

    def write(self, stream: int, frame: bytes) -> None:
        """Append one frame."""
        with self._lock:
            self._file.write(FRAME_HEAD.pack(stream, len(frame)) + frame)
            self.frames_count += 1
            self.frames_bytes += len(frame)

    def close(self) -> None:
        """Flush and close."""
        self._file.close()


@dataclass(frozen=True, slots=True)
class Frame:
    """Where one frame stands in the file."""

    stream: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording in memory, its ids ready to be varied."""

    data: npt.NDArray[np.uint8]
    frames: list[Frame]
    ids: npt.NDArray[Any]
    binary_ids: npt.NDArray[Any]

    def vary_ids(self, pass_number: int) -> None:
        """Overwrite the ids in place with those of the pass; pass 0 restores the recorded ones."""
        constant = np.uint32(pass_number * PASS_FACTOR & 0xFFFFFFFF)
        digits = self.ids["digits"] ^ constant
        # Four digits at once through a view of 32-bit words that starts at every byte.
        words: npt.NDArray[np.uint32] = np.ndarray(
            (len(self.data) - 3,), dtype="<u4", buffer=self.data, strides=(1,)
        )
        offsets = self.ids["offset"]
        words[offsets] = _HEX_PAIRS[digits >> np.uint32(16)]
        words[offsets + 4] = _HEX_PAIRS[digits & np.uint32(0xFFFF)]
        words[self.binary_ids["offset"]] = (self.binary_ids["digits"] ^ constant).byteswap()


def ids_path(path: Path) -> Path:
    """Where the table of ids of a recording stands."""
    return path.with_suffix(".ids.npy")


def binary_ids_path(path: Path) -> Path:
    """Where the table of its binary ids stands, if it has any."""
    return path.with_suffix(".binary_ids.npy")


def scan_frames(data: bytes | memoryview) -> Iterator[Frame]:
    """Every frame of a recording, in order."""
    position = 0
    while position < len(data):
        stream, length = FRAME_HEAD.unpack_from(data, position)
        start = position + FRAME_HEAD.size
        position = start + length
        yield Frame(stream, start, position)


def write_ids(path: Path, *, find_binary: Callable[[bytes], Iterable[int]] | None = None) -> int:
    """Find the ids of the recording at ``path`` and write their tables; returns how many places.

    Args:
        path: of the recording.
        find_binary: where in a frame the last four bytes of each binary id stand.
    """
    data = path.read_bytes()
    found, found_binary = [], []
    for frame in scan_frames(data):
        for match in _IDS.finditer(data, frame.start, frame.end):
            for place in (_UUID_DIGITS_AT,) if match[1] else _TRACE_DIGITS_AT:
                at = match.start() + place
                found.append((at, int(data[at : at + ID_DIGITS], 16)))
        if find_binary is not None:
            for place in find_binary(data[frame.start : frame.end]):
                at = frame.start + place
                found_binary.append((at, int.from_bytes(data[at : at + _BINARY_BYTES], "big")))
    np.save(ids_path(path), np.array(found, dtype=ID_DTYPE))
    if found_binary:
        np.save(binary_ids_path(path), np.array(found_binary, dtype=ID_DTYPE))
    return len(found) + len(found_binary)


def read_recording(path: Path) -> Recording:
    """Read a recording into memory of its own, which ``vary_ids`` may write to."""
    data = np.fromfile(path, dtype=np.uint8)
    binary = binary_ids_path(path)
    binary_ids = np.load(binary) if binary.exists() else np.zeros(0, dtype=ID_DTYPE)
    return Recording(data, list(scan_frames(data.data)), np.load(ids_path(path)), binary_ids)


def split_identifier(frame: bytes) -> tuple[bytes, bytes]:
    """Split a stream's first message into its identifier and the rest, both valid messages.

    The identifier is field 1, which Envoy writes first; the rest can be sent again in a later pass
    without a second identifier.
    """
    if frame[:1] != b"\x0a":
        return b"", frame
    length = shift = 0
    position = 1
    while True:
        byte = frame[position]
        position += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            break
    end = position + length
    return frame[:end], frame[end:]
