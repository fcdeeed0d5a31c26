"""What is done to an object, as its change of security: of one request alone, or of two states.

One request says what it asks for, and seldom what was before. Where that is known, ask
``classify_change``. Specified in docs/sources/kubernetes-audit.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshtrail.sources.kubernetes import (
    security_cluster,
    security_core,
    security_istio,
    security_meshes,
)
from meshtrail.sources.kubernetes.security_change import Change, Rule, SecurityChange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.sources.kubernetes.json_parts import Json

RULES: Final[dict[tuple[str, str], Rule]] = {
    **security_istio.RULES,
    **security_meshes.RULES,
    **security_cluster.RULES,
    **security_core.RULES,
}
"""By API group and resource: what their changes do."""

_ORDER: Final = {change: place for place, change in enumerate(SecurityChange)}
_REMOVING: Final = frozenset({"delete", "deletecollection"})
_UNSEEN: Final[Json] = {"spec": {}}
_TOLD_UNSEEN: Final = frozenset(
    {SecurityChange.PROXY_PATCHED, SecurityChange.REROUTED, SecurityChange.TRUST_ROOT_CHANGED}
    | {SecurityChange.PRIVILEGE_GRANTED, SecurityChange.EXPOSED, SecurityChange.POLICY_ADDED}
    | {SecurityChange.ADMISSION_STRENGTHENED, SecurityChange.UNCLEAR}
)
"""What follows from an object's being written, whatever stands in it."""

_APPLICATION_GROUPS: Final = frozenset(
    {"", "apps", "extensions", "batch", "apiextensions.k8s.io", "certificates.k8s.io"}
)
"""Most objects of these do nothing to security; of the others each may."""


def classify_request(
    after: Json | None,
    *,
    group: str,
    resource: str,
    name: str = "",
    verb: str,
    gone: Json | None = None,
    is_partial: bool = False,
) -> tuple[SecurityChange, ...]:
    """What one request alone says that it does.

    Args:
        after: the object afterwards, or the patch; None where the record does not show it.
        group: API group, empty for the core group.
        resource: plural, lower case.
        name: of the object.
        verb: of a call that took effect.
        gone: of ``delete``: the object, where the record shows it.
        is_partial: whether ``after`` is a patch.

    Returns:
        In the order of ``SecurityChange``; empty where it does nothing to security.
    """
    rule = RULES.get((group, resource))
    if rule is None:
        return ()
    if verb in _REMOVING:
        gone_change = _change(
            gone, None, knows_before=gone is not None, name=name, resource=resource
        )
        return _ordered(rule(gone_change))
    change = Change(
        before=None,
        after=after if after is not None else _UNSEEN,
        knows_before=verb == "create",
        is_partial=is_partial,
        name=name,
        resource=resource,
    )
    return _ordered(rule(change) if after is not None else _find_unseen(rule, change, group))


def classify_change(
    before: Json | None,
    after: Json | None,
    *,
    group: str,
    resource: str,
    verb: str = "update",
    name: str = "",
) -> tuple[SecurityChange, ...]:
    """What a change from one state to another does.

    Args:
        before: the object, or its governing part (``audit_object.govern``); None where there was
            none.
        after: likewise; None where it is gone.
        group: API group, empty for the core group.
        resource: plural, lower case.
        verb: of the call between them.
        name: of the object: what ConfigMaps, Secrets and webhooks are for shows in it alone.

    Returns:
        As ``classify_request``; empty where nothing changed that matters.
    """
    rule = RULES.get((group, resource))
    is_removed = verb in _REMOVING
    if rule is None or (before is None and after is None):
        return ()
    state = None if is_removed else after
    return _ordered(rule(_change(before, state, knows_before=True, name=name, resource=resource)))


def _change(
    before: Json | None, after: Json | None, *, knows_before: bool, name: str, resource: str
) -> Change:
    return Change(
        before=before, after=after, knows_before=knows_before, name=name, resource=resource
    )


def _find_unseen(rule: Rule, change: Change, group: str) -> set[SecurityChange]:
    """What is known of a write whose object the API server did not log."""
    found = set(rule(change)) & _TOLD_UNSEEN
    is_silent = not found and group not in _APPLICATION_GROUPS
    return {SecurityChange.UNCLEAR} if is_silent else found


def _ordered(found: Iterable[SecurityChange]) -> tuple[SecurityChange, ...]:
    return tuple(sorted(found, key=_ORDER.__getitem__))
