"""Whether one description of traffic matches more than another: rules of policies, compared.

Policies of all makers are written alike: a list of alternatives, each an object whose members must
all hold, each of which is a list of alternatives again. What is not said holds for everything.
"""

from __future__ import annotations

import re
from enum import Enum
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from meshtrail.sources.kubernetes.canonical_json import encode_canonical

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.sources.kubernetes.json_parts import Json

WORK_BYTES_MAX: Final = 1 << 22
"""Looked at for one change. More takes nobody's policy; each comparison can ask for many others."""

_STEP_BYTES: Final = 64

_PAIRS_MAX: Final = 64
_EXCLUDING: Final = frozenset({"except", "exceptCIDRs"})
_CONJUNCTIONS: Final = frozenset({"matchExpressions", "when", "requiredAuthenticationRefs"})
"""Lists of which all elements must hold, not one."""
_UNCLEAR_WHEN_ADDED: Final = frozenset({"endPort", "namespaceSelector"})
"""The one widens what stands in ``port``, the other what ``podSelector`` is taken from."""
_PEERS: Final = re.compile(r"(?:from|to)(?!Ports)[A-Z]")
"""Members of a Cilium rule that each name peers: which of them must hold together, versions differ
about."""


class Direction(Enum):
    """What a description of traffic matches, against the one before it."""

    EQUAL = "equal"
    WIDER = "wider"
    NARROWER = "narrower"
    UNCLEAR = "unclear"

    def turned(self) -> Direction:
        """The direction of what is described by exclusion."""
        return _TURNED.get(self, self)


_TURNED: Final = {
    Direction.WIDER: Direction.NARROWER,
    Direction.NARROWER: Direction.WIDER,
}


def compare_rules(before: list[object], after: list[object]) -> Direction:
    """Compare lists of rules, of which one is enough; an empty list matches nothing."""
    return _Comparison().alternatives(before, after)


class _Comparison:
    """One comparison, which gives up when it takes too long."""

    def __init__(self) -> None:
        self._bytes_left = WORK_BYTES_MAX

    def alternatives(self, before: list[object], after: list[object]) -> Direction:
        """Compare lists of which one element is enough."""
        removed, added = self._differing(before, after)
        if not (removed and added):
            return _one_sided(removed=bool(removed), added=bool(added))
        if len(removed) * len(added) > _PAIRS_MAX:
            return Direction.UNCLEAR
        holds = all(any(self._covers(new, old) for new in added) for old in removed)
        is_held = all(any(self._covers(old, new) for old in removed) for new in added)
        if holds:
            return Direction.EQUAL if is_held else Direction.WIDER
        return Direction.NARROWER if is_held else Direction.UNCLEAR

    def _covers(self, wide: object, narrow: object) -> bool:
        return self._values(narrow, wide) in {Direction.WIDER, Direction.EQUAL}

    def _values(self, before: object, after: object) -> Direction:
        self._bytes_left -= _STEP_BYTES
        if self._bytes_left < 0:
            return Direction.UNCLEAR
        if _is_same(before, after):
            return Direction.EQUAL
        if isinstance(before, dict) and isinstance(after, dict):
            return self._objects(before, after)
        if isinstance(before, list) and isinstance(after, list):
            return self.alternatives(before, after)
        if isinstance(before, str) and isinstance(after, str):
            return _compare_texts(before, after)
        return Direction.UNCLEAR

    def _objects(self, before: Json, after: Json) -> Direction:
        names = dict.fromkeys([*before, *after])
        has_peers = sum(bool(_PEERS.match(name)) for name in names) > 1
        found = set()
        for name in names:
            old, new = before.get(name), after.get(name)
            is_added = old is None or new is None
            if is_added and old is not new and has_peers and _PEERS.match(name):
                found.add(Direction.UNCLEAR)
            else:
                found.add(self._members(name, old, new))
        return _joined(found)

    def _members(self, name: str, before: object, after: object) -> Direction:
        """Compare conditions, of which one that is absent holds always."""
        if _is_same(before, after):
            return Direction.EQUAL
        # An empty list is nothing to one maker, and everything to another.
        if [] in (before, after):
            return Direction.UNCLEAR
        if before is None or after is None:
            if name in _UNCLEAR_WHEN_ADDED:
                return Direction.UNCLEAR
            return Direction.NARROWER if before is None else Direction.WIDER
        if name in _CONJUNCTIONS and isinstance(before, list) and isinstance(after, list):
            removed, added = self._differing(before, after)
            return _one_sided(removed=bool(removed), added=bool(added)).turned()
        direction = self._values(before, after)
        is_excluding = name in _EXCLUDING or (name.startswith("not") and name[3:4].isupper())
        return direction.turned() if is_excluding else direction

    def _differing(
        self, before: list[object], after: list[object]
    ) -> tuple[list[object], list[object]]:
        """What is only in the one, and only in the other."""
        old = {encode_canonical(item): item for item in before}
        new = {encode_canonical(item): item for item in after}
        self._bytes_left -= sum(map(len, old)) + sum(map(len, new))
        return (
            [item for key, item in old.items() if key not in new],
            [item for key, item in new.items() if key not in old],
        )


def _is_same(before: object, after: object) -> bool:
    """Whether two values are one; to Python true is 1."""
    return before == after and encode_canonical(before) == encode_canonical(after)


def _one_sided(*, removed: bool, added: bool) -> Direction:
    if removed and added:
        return Direction.UNCLEAR
    if removed:
        return Direction.NARROWER
    return Direction.WIDER if added else Direction.EQUAL


def _joined(directions: Iterable[Direction]) -> Direction:
    """The direction of conditions that must all hold."""
    found = set(directions) - {Direction.EQUAL}
    if not found:
        return Direction.EQUAL
    return found.pop() if len(found) == 1 else Direction.UNCLEAR


def _compare_texts(before: str, after: str) -> Direction:
    if _text_covers(after, before):
        return Direction.WIDER
    return Direction.NARROWER if _text_covers(before, after) else Direction.UNCLEAR


def _text_covers(wide: str, narrow: str) -> bool:
    """Whether a text with a star at an end, or a network, holds another."""
    if wide == "*":
        return True
    if wide.endswith("*") and "*" not in wide[:-1]:
        return narrow.startswith(wide[:-1])
    if wide.startswith("*") and "*" not in wide[1:]:
        return narrow.endswith(wide[1:])
    return _network_covers(wide, narrow)


def _network_covers(wide: str, narrow: str) -> bool:
    try:
        outer, inner = ip_network(wide, strict=False), ip_network(narrow, strict=False)
    except ValueError:
        return False
    if outer.version != inner.version:
        return False
    return outer.supernet_of(inner)  # type: ignore[arg-type] # both are of one version
