"""What an API server makes of an audit policy: the level at which a call is logged.

Source: k8s.io/apiserver, pkg/audit/policy (LevelAndStages, ruleMatches).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of the API, as an authorizer sees it."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    name: str = ""
    user: str = "alice"
    user_groups: tuple[str, ...] = ("system:authenticated",)


def level_of(policy: dict[str, Any], call: Call) -> str:
    """The level of the first rule that fits; without any, None."""
    for rule in policy["rules"]:
        if is_fit(rule, call):
            level: str = rule["level"]
            return level
    return "None"


def is_fit(rule: dict[str, Any], call: Call) -> bool:
    if rule.get("users") and call.user not in rule["users"]:
        return False
    if rule.get("userGroups") and not {*rule["userGroups"]} & {*call.user_groups}:
        return False
    if rule.get("verbs") and call.verb not in rule["verbs"]:
        return False
    if not rule.get("resources"):
        return True
    return any(is_among(group, call) for group in rule["resources"])


def is_among(group: dict[str, Any], call: Call) -> bool:
    if group["group"] != call.group:
        return False
    if not group.get("resources"):
        return True
    if group.get("resourceNames") and call.name not in group["resourceNames"]:
        return False
    combined = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
    anything = {"*", combined, f"{call.resource}/*"}
    if call.subresource:
        anything.add(f"*/{call.subresource}")
    return bool(anything & {*group["resources"]})
