from __future__ import annotations

from meshtrail.cli.change_rows import change_cells, change_json
from meshtrail.correlate.config_history import ConfigHistory
from tests.unit.correlate.test_config_history import change


def test_a_change_is_plain_facts_and_cells() -> None:
    rows = [change(1, "create", b"\x01" * 32), change(2, "update", b"\x01" * 32, actor="a\x1bb")]
    _, again = ConfigHistory(rows)
    told = change_json(again)
    assert (told["before_hash"], told["is_effectless"]) == ("01" * 32, True)
    assert told["spec_hash"] == "01" * 32
    cells = change_cells(again)
    assert cells[1:] == (
        "a\\x1bb",
        "update",
        "authorizationpolicies shop/deny-admin (east)",
        "none",
        "01010101>01010101",
        "2",
    )


def test_what_is_not_known_of_a_change_is_a_dash() -> None:
    [deleted] = ConfigHistory([change(1, "delete")])
    assert change_cells(deleted)[1:] == (
        "-",
        "delete",
        "authorizationpolicies shop/deny-admin (east)",
        "-",
        "->-",
        "1",
    )
