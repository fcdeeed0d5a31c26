"""Real traffic with nothing wrong: all of it is sealed and paired, and nobody is accused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.clean_run import Account, record

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 15.0


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Account:
    directory: Path = tmp_path_factory.mktemp("clean")
    return record(directory, seconds=SECONDS, counted_every_s=1)


def test_every_request_is_sealed_at_each_of_its_ends(account: Account) -> None:
    assert account.sealed == account.made
    assert min(account.made.values()) > 10 * SECONDS


def test_every_call_through_two_sidecars_is_paired(account: Account) -> None:
    assert account.paired == account.both_made


def test_no_gap_and_no_finding_is_told(account: Account) -> None:
    assert account.said == []
    assert account.kinds["counter"] > SECONDS
    assert account.kinds["span"] > 10 * SECONDS
