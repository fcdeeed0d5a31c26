"""The lines of Hubble as columns of texts, and which event each of them holds."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshtrail.sources.columns import map_distinct, mask_null, plain
from meshtrail.sources.hubble.schema import OTHERS, STRUCTURE, camel_path
from meshtrail.sources.hubble.values import named
from meshtrail.sources.json_columns import JsonColumns
from meshtrail.sources.lines.container_prefix import strip_prefixes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

_S: Final = pa.string()
NO_EVENT: Final = "no event that Hubble exports"
SEVERAL_EVENTS: Final = "several events in one line"
SAYS_NOTHING: Final = "a flow that says nothing"
BARE_FLOW: Final = (("verdict",), ("Type",), ("IP", "source"), ("IP", "destination"))
"""By these a flow is known that stands in no member, as older commands printed them."""
SAYING: Final = (
    *BARE_FLOW,
    *(("time",), ("uuid",), ("node_name",), ("drop_reason_desc",), ("traffic_direction",)),
    *(("l7", "type"), ("event_type", "type")),
    *((end, name) for end in ("source", "destination") for name in ("identity", "pod_name")),
    *((end, name) for end in ("source", "destination") for name in ("namespace", "labels")),
)
"""A flow in which none of these can be read says nothing."""


class HubbleLines:
    """Lines of Hubble.

    Attributes:
        bad: why a line could not be read, by row.
        is_flow: bool[n].
        other: the member of ``OTHERS`` that each of the other rows holds, by row.
    """

    def __init__(self, records: pa.Array) -> None:
        """Read lines.

        Args:
            records: binary[n].
        """
        bare = strip_prefixes(records)
        self._read = JsonColumns(bare.lines, STRUCTURE)
        self.bad = {**self._read.bad, **bare.bad}
        is_bare = self._held_events()[0] & self.good
        if is_bare.any():
            wrapped = pc.binary_join_element_wise(b'{"flow":', bare.lines, b"}", b"")
            lines = pc.if_else(pa.array(is_bare), wrapped, bare.lines)
            self._read = JsonColumns(lines, STRUCTURE)
            self.bad = {**self._read.bad, **self.bad}
            silent = is_bare & self.good & ~self._says(BARE_FLOW)
            self.bad |= dict.fromkeys(np.flatnonzero(silent).tolist(), NO_EVENT)
        self._take_events()

    @property
    def good(self) -> Mask:
        """Which lines could be read: bool[n]."""
        good = np.ones(self._read.rows_count, dtype=np.bool_)
        good[list(self.bad)] = False
        return good

    def text(self, *path: str) -> pa.Array:
        """A member of lines: string[n], in the spelling that a line has."""
        found = self._read.text(*path)
        other = camel_path(path)
        if other == path:
            return found
        respelled = self._read.text(*other)
        if respelled.null_count == len(respelled):
            return found
        return pc.coalesce(found, respelled)

    def flow(self, *path: str) -> pa.Array:
        """A member of flows: string[n], null where it is empty, or the line holds no flow."""
        found = self.text("flow", *path)
        return mask_null(found, pc.not_equal(found, ""))

    def enum(self, names: Mapping[str, str | None], *path: str) -> pa.Array:
        """A member of flows that is an enum, by its names: string[n]."""
        (found,) = map_distinct(self.flow(*path), lambda value: (named(value, names),), [_S])
        return plain(found)

    def headers(self) -> pa.Array:
        """The headers of requests: list<struct<key: string, value: string>>[n]."""
        return self._read.get("flow", "l7", "http", "headers")

    def _held_events(self) -> tuple[Mask, Mask]:
        """Which lines hold no event, and which hold several: bool[n] each."""
        members = [self._read.get("flow"), *(self.text(name) for name in OTHERS)]
        counts = reduce(np.add, (np.asarray(pc.is_valid(one)).astype(np.int8) for one in members))
        return counts == 0, counts > 1

    def _says(self, paths: tuple[tuple[str, ...], ...]) -> Mask:
        """Which lines hold a flow in which any of the members can be read: bool[n]."""
        told = (pc.is_valid(self.flow(*path)) for path in paths)
        return np.asarray(reduce(pc.or_, told))

    def _take_events(self) -> None:
        good = self.good
        _, are_several = self._held_events()
        self.bad |= dict.fromkeys(np.flatnonzero(are_several & good).tolist(), SEVERAL_EVENTS)
        is_flow = np.asarray(pc.is_valid(self._read.get("flow"))) & self.good
        silent = is_flow & ~self._says(SAYING)
        self.bad |= dict.fromkeys(np.flatnonzero(silent).tolist(), SAYS_NOTHING)
        self.is_flow = is_flow & ~silent
        self.other: dict[int, str] = {}
        for name in OTHERS:
            rows = np.flatnonzero(np.asarray(pc.is_valid(self.text(name))) & self.good)
            self.other |= dict.fromkeys(rows.tolist(), name)
