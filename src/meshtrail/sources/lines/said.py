"""What lines say, as texts: nothing where an access log writes that it has no value."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.attribute_values import mend_texts
from meshtrail.sources.columns import without

ABSENT: Final = ("", "-")
"""What Envoy writes where it has no value; in JSON it can write null, or leave the key out."""


def said_only(texts: pa.Array) -> pa.Array:
    """The texts that say something: string[n], null for the others."""
    return without(texts, pc.is_in(texts, pa.array(ABSENT)))


def mend_lines(lines: pa.Array) -> pa.Array:
    """Lines as text, still as bytes: binary[n].

    A header can hold any bytes, and whoever sends it would otherwise decide that the line of its
    request cannot be read.
    """
    return mend_texts(lines).cast(pa.binary())
