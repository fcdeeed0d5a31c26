"""What a change does to security: the closed list, and a change as the rules look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from meshtrail.sources.kubernetes.canonical_json import encode_canonical
from meshtrail.sources.kubernetes.json_parts import list_of, part_of, text_of
from meshtrail.sources.kubernetes.match_direction import Direction, compare_rules

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json


class SecurityChange(StrEnum):
    """A closed list, the most telling first; one change can be several."""

    TRUST_ROOT_CHANGED = "trust_root_changed"
    """Whom a mesh or cluster believes: roots, keys that sign, issuers, trust domains."""
    MTLS_DOWNGRADE = "mtls_downgrade"
    MTLS_STRICT = "mtls_strict"
    LOGGING_DISABLED = "logging_disabled"
    LOGGING_REDUCED = "logging_reduced"
    """A filter or a sampling rate says what is not logged."""
    LOGGING_ENABLED = "logging_enabled"
    INJECTION_DISABLED = "injection_disabled"
    """Pods come up without a proxy, or leave the mesh."""
    INJECTION_ENABLED = "injection_enabled"
    PRIVILEGE_GRANTED = "privilege_granted"
    """Rights on the cluster's API."""
    PRIVILEGE_REVOKED = "privilege_revoked"
    PRIVILEGED_WORKLOAD = "privileged_workload"
    """A pod that shares what is the node's: its network, processes, files or rights."""
    ADMISSION_WEAKENED = "admission_weakened"
    """What looks at objects before they are taken looks at less, or is asked no more."""
    ADMISSION_STRENGTHENED = "admission_strengthened"
    EXPOSED = "exposed"
    """A door to the outside was opened."""
    UNEXPOSED = "unexposed"
    PROXY_PATCHED = "proxy_patched"
    """Configuration or code that proxies take as it is, and can do anything with."""
    REROUTED = "rerouted"
    """Where traffic goes."""
    WIDENED = "widened"
    """More traffic is let through than was."""
    NARROWED = "narrowed"
    POLICY_REMOVED = "policy_removed"
    POLICY_ADDED = "policy_added"
    UNCLEAR = "unclear"
    """It changes what is let through, and the way cannot be told from it alone."""


Found: TypeAlias = set[SecurityChange]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one object.

    Attributes:
        before: the object as it was; None where there was none, or nobody knows.
        after: as it is, or of a patch what it sets; None where it is gone.
        knows_before: whether ``before`` is what was.
        is_partial: whether ``after`` is a patch.
        name: of the object.
        resource: plural, lower case.
    """

    before: Json | None
    after: Json | None
    knows_before: bool
    is_partial: bool = False
    name: str = ""
    resource: str = ""

    @property
    def is_created(self) -> bool:
        """Whether there was none before."""
        return self.knows_before and self.before is None

    @property
    def is_removed(self) -> bool:
        """Whether there is none after."""
        return self.after is None

    @property
    def states_spec(self) -> bool:
        """Whether ``after`` says anything of what the object is for."""
        return any(name not in _ABOUT for name in self.after or ())

    @property
    def touches_spec(self) -> bool:
        """Whether what the object is for may have changed."""
        if self.is_removed or self.is_created:
            return True
        if not self.knows_before:
            return self.states_spec
        names = {*(self.before or ()), *(self.after or ())} - _ABOUT
        return self.differs(*names)

    def differs(self, *paths: str) -> bool:
        """Whether a part of it may have changed: of what was not known, whatever is said of it.

        Args:
            paths: names of members joined by dots.
        """
        if not self.knows_before and not self.is_removed:
            return any(_is_at(self.after, path) for path in paths)
        return any(
            encode_canonical(_value_at(self.before, path))
            != encode_canonical(_value_at(self.after, path))
            for path in paths
        )


_ABOUT = frozenset({"apiVersion", "kind", "metadata", "status"})

Rule: TypeAlias = Callable[[Change], Iterable[SecurityChange]]
Level: TypeAlias = Callable[["Json"], int | None]
"""How much an object asks for, 0 being nothing at all; None where it does not say."""


def _is_at(value: object, path: str) -> bool:
    *way, last = path.split(".")
    return last in part_of(value, *way)


def _value_at(value: object, path: str) -> object:
    *way, last = path.split(".")
    return part_of(value, *way).get(last)


def compare_levels(
    change: Change, level: Level, *, top: int, down: SecurityChange, up: SecurityChange
) -> Found:
    """What becomes of something that objects ask for in steps.

    Args:
        change: of which.
        level: what an object asks for.
        top: the highest level; where it is not known what was, any lower one is a step down.
        down: what a step down is.
        up: what a step up is.
    """
    old = level(change.before) if change.before is not None else None
    new = level(change.after) if change.after is not None else None
    if old == new and change.knows_before:
        return set()
    if new is None:
        # What was asked for is so no more, and what holds then stands elsewhere.
        return set() if old is None else {down if old == top else SecurityChange.UNCLEAR}
    if old is None:
        return {up if new == top else down}
    return {up if new > old else down}


def compare_allowing(change: Change, rules_of: Callable[[Json], list[object] | None]) -> Found:
    """What becomes of rules each of which lets traffic through, and shuts out all other.

    Args:
        change: of which.
        rules_of: the rules of an object; None where it shuts out nothing.
    """
    old = rules_of(change.before) if change.before is not None else None
    new = rules_of(change.after) if change.after is not None else None
    if change.is_partial:
        return {SecurityChange.UNCLEAR} if change.states_spec else set()
    if not change.knows_before:
        # Deleted without being shown: it may have been what shut out, or what let through.
        return {SecurityChange.UNCLEAR} if change.is_removed else _stated(new)
    if old is None:
        return _stated(new)
    if new is None:
        return {_OPPOSITE.get(found, found) for found in _stated(old)}
    return direction_found(compare_rules(old, new))


def _stated(rules: list[object] | None) -> Found:
    """What rules do that were not there: the first for a workload shuts out all other traffic."""
    if rules is None:
        return set()
    if not rules:
        return {SecurityChange.NARROWED}
    return {SecurityChange.WIDENED if {} in rules else SecurityChange.UNCLEAR}


_OPPOSITE = {
    SecurityChange.NARROWED: SecurityChange.WIDENED,
    SecurityChange.WIDENED: SecurityChange.NARROWED,
}


def compare_listed(
    change: Change,
    rules_of: Callable[[Json], list[object]],
    *,
    more: SecurityChange,
    less: SecurityChange,
) -> Found:
    """What becomes of a list that adds to what is there, and takes nothing away.

    Args:
        change: of which.
        rules_of: the list in an object.
        more: what a longer list, or a wider element is.
        less: the contrary.
    """
    old = rules_of(change.before) if change.before is not None else []
    new = rules_of(change.after) if change.after is not None else []
    if not change.knows_before:
        if change.is_removed:
            return {less}
        return {SecurityChange.UNCLEAR} if new or change.states_spec else set()
    direction = compare_rules(old, new)
    if direction is Direction.WIDER:
        return {more}
    if direction is Direction.NARROWER:
        return {less}
    return set() if direction is Direction.EQUAL else {SecurityChange.UNCLEAR}


def direction_found(direction: Direction) -> Found:
    """What a direction is called."""
    return {
        Direction.EQUAL: set(),
        Direction.WIDER: {SecurityChange.WIDENED},
        Direction.NARROWER: {SecurityChange.NARROWED},
        Direction.UNCLEAR: {SecurityChange.UNCLEAR},
    }[direction]


def added_or_removed(change: Change) -> Found:
    """That there is one policy more, or one less."""
    if change.is_removed:
        return {SecurityChange.POLICY_REMOVED}
    return {SecurityChange.POLICY_ADDED} if change.is_created else set()


def label_of(value: Json | None, name: str) -> str | None:
    """A label of an object."""
    return text_of(value, "metadata", "labels", name)


def annotation_of(value: Json | None, name: str) -> str | None:
    """An annotation of an object."""
    return text_of(value, "metadata", "annotations", name)


def rules_at(*path: str) -> Callable[[Json], list[object]]:
    """Reads the list at the end of a path of keys."""
    return lambda value: list_of(value, *path)


def on_touch(change: SecurityChange) -> Rule:
    """A rule for objects of which any change is the same."""
    return lambda of: {change} if of.touches_spec else set()


def on_coming_and_going(
    *, more: SecurityChange, less: SecurityChange, else_: SecurityChange = SecurityChange.UNCLEAR
) -> Rule:
    """A rule for objects that do one thing by being there."""

    def rule(change: Change) -> Found:
        if change.is_removed:
            return {less}
        if change.is_created:
            return {more}
        return {else_} if change.touches_spec else set()

    return rule


def policy(rule: Rule) -> Rule:
    """The rule, of objects that count as policies."""
    return lambda change: {*rule(change), *added_or_removed(change)}
