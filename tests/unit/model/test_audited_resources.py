from __future__ import annotations

from meshtrail.model.audited_resources import (
    BELOW,
    DELIVERING,
    GOVERNING_GROUPS,
    REPORTING,
    REPORTING_IN,
    SESSIONS,
    WRITES,
    groups_of,
)
from meshtrail.model.event import Kind
from meshtrail.sources.kubernetes.audit_kinds import is_below


def test_groups_that_are_known_are_the_family_and_below_it() -> None:
    for family in GOVERNING_GROUPS:
        assert groups_of(family)[0] == family
        assert all(is_below(group, (family,)) for group in groups_of(family))
    assert "security.istio.io" in groups_of("istio.io")


def test_other_tables_are_about_governing_groups() -> None:
    assert {*BELOW, *DELIVERING} <= {*GOVERNING_GROUPS}
    assert all(is_below(group, GOVERNING_GROUPS) for group in REPORTING_IN)
    assert {name for names in REPORTING_IN.values() for name in names} == REPORTING


def test_sessions_and_writes_name_kinds_of_events() -> None:
    assert {Kind(kind) for kind in (*SESSIONS.values(), *WRITES.values())} == {
        Kind.EXEC,
        Kind.ATTACH,
        Kind.PORT_FORWARD,
        Kind.EPHEMERAL_CONTAINER,
        Kind.TOKEN_REQUEST,
    }
