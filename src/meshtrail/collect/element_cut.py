"""A JSON document that holds many records to the pieces that are journaled: framing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.collect.pieces import Piece
from meshtrail.collect.record_cut import cut_lines
from meshtrail.errors import InputError
from meshtrail.journal import Framing
from meshtrail.sources.json_elements import slice_elements

if TYPE_CHECKING:
    from meshtrail.model.entry import PayloadFormat

_SPACE: Final = b" \t\r\n"


def holds_lines(body: bytes) -> bool:
    """Whether a body in JSON is lines of it, one document each, rather than one document.

    Shippers say ``application/json`` of either. Of several lines the first is whole in itself; a
    document that goes over several lines is not whole after its first.
    """
    first, _, rest = body.lstrip(_SPACE).partition(b"\n")
    if not rest.strip(_SPACE):
        return False
    try:
        slice_elements(first, elements_count_max=len(first))
    except InputError:
        return False
    return True


def cut_elements(
    body: bytes, payload_format: PayloadFormat, *, elements_count_max: int
) -> list[Piece]:
    """Cut a document into the elements of its list; one without a list is its only element.

    Args:
        body: a list in JSON, or an object, with one at ``items`` or without.
        payload_format: of the elements.
        elements_count_max: at most.

    Raises:
        InputError: it is no such document, and has to be kept whole.
    """
    elements = slice_elements(body, elements_count_max=elements_count_max)
    if any(b"\n" in element for element in elements):
        return [Piece(element, 1, Framing.WHOLE, payload_format) for element in elements]
    # As machines write them, an element is a line, and many lines are one frame.
    return cut_lines(b"\n".join(elements), payload_format)
