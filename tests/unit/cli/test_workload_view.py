from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.main import main
from meshtrail.cli.workload_view import ALL_COLUMNS
from tests.unit.search.small_log import FIRST_NS, make_log

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.search.small_log import SmallLog

HOUR_NS = 3_600_000_000_000
PAY = {
    "kind": "workload",
    "source": "inventory",
    "time": FIRST_NS - HOUR_NS,
    "object_namespace": "shop",
    "object_name": "pay-1",
    "object_uid": "u1",
    "pod_ips": "10.0.0.1",
    "pod_service_account": "pay",
    "image_digest": "sha256:7",
    "commit_id": "c7",
}
DENIED = {"decision": "denied", "src_ip": "10.0.0.1", "dst_ip": "10.0.0.2", "time": FIRST_NS}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLog:
    """A denied call, and the caller's pod that became known after it."""
    monkeypatch.setenv("MESHTRAIL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MESHTRAIL_DATA", str(tmp_path / "data"))
    log = make_log(tmp_path / "data")
    log.add_segment([DENIED])
    log.add_segment([PAY])
    return log


@pytest.mark.usefixtures("log")
def test_a_denied_call_is_told_with_the_pod_that_had_the_address_its_image_and_its_commit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["search", "decision:denied", "--with-workloads", "--json"]) == exit_codes.OK
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    shown = ("log_index", "src_pod", "src_image_digest", "src_commit_id", "src_inventory_index")
    assert [row[name] for name in shown] == [0, "pay-1", "sha256:7", "c7", 1]
    assert row["src_workload_trust"] == "derived"


@pytest.mark.usefixtures("log")
def test_columns_of_the_view_are_chosen_as_those_of_events_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = "index,src.sa,src_image_digest,src_inventory_candidates"
    main(["search", "kind:request", "--with-workloads", "--columns", columns, "--format", "csv"])
    assert capsys.readouterr().out.splitlines() == [
        "log_index,src_service_account,src_image_digest,src_inventory_candidates",
        "0,pay,sha256:7,1",
    ]


@pytest.mark.usefixtures("log")
def test_columns_of_the_view_are_unknown_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--columns", "src_image_digest"]) == exit_codes.BAD_INPUT
    assert "no field is called 'src_image_digest'" in capsys.readouterr().err


def test_the_table_has_a_column_for_the_pod_of_either_end(
    log: SmallLog, capsys: pytest.CaptureFixture[str]
) -> None:
    other = PAY | {"object_uid": "u2", "object_name": "dns-1", "pod_ips": "10.0.0.2"}
    log.add_segment([other, other | {"object_uid": "u3"}])
    log.add_segment([DENIED | {"src_spiffe_id_trust": "attested", "src_service_account": "x"}])
    main(["search", "decision:denied", "--with-workloads"])
    titles, newest, oldest = capsys.readouterr().out.splitlines()
    assert titles.split()[-4:] == ["SRC", "POD", "DST", "POD"]
    assert newest.split()[-4:] == ["!-", "1", "of", "2?"]
    assert "pay-1" in oldest


@pytest.mark.usefixtures("log")
def test_a_search_that_finds_nothing_still_has_all_columns(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    main(["search", "path:/none", "--with-workloads", "--format", "arrow"])
    stream = pa.ipc.open_stream(io.BytesIO(capsysbinary.readouterr().out))
    table: Any = stream.read_all()
    assert (table.num_rows, table.column_names) == (0, list(ALL_COLUMNS))


@pytest.mark.usefixtures("log")
@pytest.mark.parametrize("other", [["--sql", "SELECT 1"], ["--follow"]])
def test_the_view_goes_with_neither_sql_nor_following(other: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["search", "--with-workloads", *other])
    assert ended.value.code == exit_codes.USAGE
