"""HTTP/2 frames as bytes: those that a sender of gRPC messages writes, and all that it is answered.

Bytes in, bytes out: no socket, and nothing is remembered here.
Source: RFC 9113 (HTTP/2), RFC 7541 (header compression), gRPC's "PROTOCOL-HTTP2".
"""

from __future__ import annotations

import struct
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9

DATA = 0x0
HEADERS = 0x1
RST_STREAM = 0x3
SETTINGS = 0x4
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8

END_STREAM = 0x1
"""Flag of DATA and HEADERS: the last frame from this side."""
ACK = 0x1
"""Flag of SETTINGS and PING."""
END_HEADERS = 0x4

ENABLE_PUSH = 0x2
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5

WINDOW_BYTES_DEFAULT = 65_535
FRAME_BYTES_MAX_DEFAULT = 16_384

_HEAD = struct.Struct(">IBI")
"""The length and, in the lowest byte of the same number, the type; the flags; the stream."""
_SETTING = struct.Struct(">HI")
_UINT32 = struct.Struct(">I")
_TWO_UINT32 = struct.Struct(">II")
_NOT_RESERVED = 0x7FFF_FFFF
_WINDOW_UPDATE_HEAD = _UINT32.size << 8 | WINDOW_UPDATE
_HPACK_LENGTH_MAX = 126
_ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)


class Frame(NamedTuple):
    """A frame that came; stream 0 is the connection itself."""

    frame_type: int
    flags: int
    stream: int
    payload: bytes


class Received(NamedTuple):
    """What bytes that came hold.

    Attributes:
        increments: of windows, in bytes: of which stream, and how many. They come by the thousand,
            one for nearly each frame that is sent, so they are not made a ``Frame`` each.
        frames: all others.
        rest: the beginning of a frame that has not all come.
    """

    increments: list[tuple[int, int]]
    frames: list[Frame]
    rest: bytes


def encode_head(frame_type: int, payload_bytes: int, stream: int = 0, flags: int = 0) -> bytes:
    """The nine bytes before a payload of that length."""
    return _HEAD.pack(payload_bytes << 8 | frame_type, flags, stream)


def encode_frame(
    frame_type: int, payload: bytes = b"", *, stream: int = 0, flags: int = 0
) -> bytes:
    """A whole frame."""
    return encode_head(frame_type, len(payload), stream, flags) + payload


def decode_frames(data: bytes) -> Received:
    """Everything that has come whole."""
    increments: list[tuple[int, int]] = []
    frames: list[Frame] = []
    at, available = 0, len(data)
    while available - at >= HEAD_BYTES:
        size_and_type, flags, stream = _HEAD.unpack_from(data, at)
        start = at + HEAD_BYTES
        end = start + (size_and_type >> 8)
        if end > available:
            break
        if size_and_type == _WINDOW_UPDATE_HEAD:
            (increment,) = _UINT32.unpack_from(data, start)
            increments.append((stream & _NOT_RESERVED, increment & _NOT_RESERVED))
        else:
            payload = data[start:end]
            frames.append(Frame(size_and_type & 0xFF, flags, stream & _NOT_RESERVED, payload))
        at = end
    return Received(increments, frames, data[at:])


def encode_headers(headers: list[tuple[str, str]]) -> bytes:
    """A header block of literals that no table remembers, so that none has to be kept."""
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers)


def _literal(text: str) -> bytes:
    data = text.encode()
    if len(data) > _HPACK_LENGTH_MAX:
        raise ValueError(f"a header of {len(data)} bytes, at most {_HPACK_LENGTH_MAX} fit")
    return bytes([len(data)]) + data


def encode_settings(settings: dict[int, int]) -> bytes:
    """The payload of SETTINGS."""
    return b"".join(_SETTING.pack(name, value) for name, value in settings.items())


def decode_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame sets, by its number; of one that is set twice the last counts."""
    return dict(_SETTING.iter_unpack(payload))


def encode_increment(increment: int) -> bytes:
    """The payload of WINDOW_UPDATE."""
    return _UINT32.pack(increment)


def describe_reset(payload: bytes) -> str:
    """The reason that RST_STREAM gives."""
    (code,) = _UINT32.unpack(payload)
    return _name_error(code)


def describe_goaway(payload: bytes) -> str:
    """The reason that GOAWAY gives, with the words that came along."""
    _, code = _TWO_UINT32.unpack_from(payload)
    words = payload[_TWO_UINT32.size :].decode(errors="replace")
    return f"{_name_error(code)} {words!r}" if words else _name_error(code)


def _name_error(code: int) -> str:
    return _ERRORS[code] if code < len(_ERRORS) else f"error {code:#x}"
