"""Inflates a body, and never further than it may become."""

from __future__ import annotations

import zlib
from typing import Final

from meshtrail.errors import InputError, RequestError

_GZIP_WBITS: Final = 31


def gunzip(data: bytes, *, bytes_max: int) -> bytes:
    """The body in a gzip file of one member.

    Raises:
        InputError: it is no such file, or not all of one.
        RequestError: the body is longer; what is behind the bound is never inflated.
    """
    inflater = zlib.decompressobj(_GZIP_WBITS)
    try:
        body = inflater.decompress(data, bytes_max + 1)
        if len(body) > bytes_max:
            raise RequestError(
                f"the body has over {bytes_max} bytes when it is unpacked, and may not",
                http_status=413,
                bytes_max=bytes_max,
            )
    except zlib.error as error:
        raise InputError(f"the body is not gzip: {error}") from error
    if not inflater.eof or inflater.unused_data:
        # Each further member would cost a copy of all that is left.
        what = "ends too early" if not inflater.eof else "goes on behind its end"
        raise InputError(f"the body is one gzip member, and {what}")
    return body
