from __future__ import annotations

from meshtrail.cli.explained_lines import explained_lines
from meshtrail.correlate.config_history import ConfigHistory
from meshtrail.correlate.explanation import Explanation, Governing
from meshtrail.model.event import EVENT_SCHEMA
from tests.unit.correlate.test_config_history import KEY, change


def explanation(*governing: Governing, is_named: bool, policy: str | None = None) -> list[str]:
    event = dict.fromkeys(EVENT_SCHEMA.names) | {"log_index": 5, "kind": "request"}
    event |= {"policy_name": policy}
    told = Explanation(event=event, at_ns=0, ends=(), governing=governing, is_named=is_named)
    return list(explained_lines(told))


def test_policies_that_nobody_named_take_a_line_each() -> None:
    created, deleted = ConfigHistory([change(1, "create", actor="ann"), change(2, "delete")])
    lines = explanation(
        Governing(key=KEY, in_force=created, next=None),
        Governing(key=KEY, in_force=deleted, next=None),
        Governing(key=KEY, in_force=None, next=deleted),
        is_named=False,
    )
    assert lines[1] == "no policy is named; policies in the callee's namespace"
    assert [line.split("  ")[3:] for line in lines[2:]] == [
        ["since 1970-01-01T00:00:00.000000001Z", "create by ann", "entry 1"],
        ["gone since 1970-01-01T00:00:00.000000002Z", "delete by -", "entry 2"],
        ["not known: the log begins later"],
    ]


def test_a_policy_that_was_named_and_never_seen_is_told() -> None:
    assert explanation(is_named=True, policy="x")[-1] == "policy x: the log holds no change of it"
