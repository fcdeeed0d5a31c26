"""The proving half of the tour holds for an honest log, and fails where it is not one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from meshtrail.demo.proving_steps import (
    COPIES_MAX,
    find_segment,
    step_hand_over,
    step_tampering,
    step_verify,
)
from tests.unit.demo.fake_shell import STORY, FakeShell, Row, lines, make_tour

if TYPE_CHECKING:
    from meshtrail.demo.shell import Output

EARLIER = "000000000000-000000000660.parquet"
SEGMENT = "000000000660-000000000670.parquet"
SEGMENTS = [
    {"path": f"/x/copy/segments/{EARLIER}", "start": 0, "end": 660},
    {"path": f"/x/copy/segments/{SEGMENT}", "start": 660, "end": 670},
]
STOLEN: list[Row] = [{"log_index": 666}, {"log_index": 665}]
DENIED: list[Row] = [
    {"log_index": 664, "src_service_account": "recommendations"},
    {"log_index": 663, "src_service_account": "recommendations"},
    {"log_index": 660},
    {"log_index": 659, "src_service_account": "recommendations"},
]
CLEAN = {"verdict": "clean", "pinned": True, "source": "pin", "entries": 670}
TAMPERED = {"verdict": "tampered", "findings": [{"subject": f"segments/{SEGMENT}"}]}
PROVEN = (
    f"entry 659: …\nPROVEN: 5 entries are in the log {STORY.origin}; the key that you passed "
    "signed it\n"
)


def tampering_shell(**changed: str) -> FakeShell:
    outputs = {
        "src.sa:checkout": lines(STOLEN),
        'ls "$MESHTRAIL_DATA/manifest"': "000000000014\n",
        "catalogue --data copy": json.dumps({"segments": SEGMENTS}),
        "meshtrail verify": json.dumps(TAMPERED),
    }
    return FakeShell({**outputs, **changed}, {"verify --data copy": 3})


def handover_shell(printed: str = PROVEN) -> FakeShell:
    return FakeShell(
        {"src.sa:checkout": lines(STOLEN), "decision:denied": lines(DENIED), "check.py": printed}
    )


def test_verifying_holds_for_a_clean_log_with_a_pinned_key() -> None:
    tour, said = make_tour(FakeShell({"verify": json.dumps(CLEAN)}))
    step_verify(tour, STORY)
    assert tour.failures_count == 0, said.getvalue()


@pytest.mark.parametrize(
    "change",
    [{"verdict": "tampered"}, {"pinned": False}, {"source": "claim"}, {"entries": 660}],
)
def test_verifying_fails_when_the_report_says_anything_else(change: dict[str, object]) -> None:
    tour, _ = make_tour(FakeShell({"verify": json.dumps({**CLEAN, **change})}))
    step_verify(tour, STORY)
    assert tour.failures_count == 1


def test_tampering_holds_when_the_edited_file_alone_is_named() -> None:
    shell = tampering_shell()
    tour, said = make_tour(shell)
    step_tampering(tour, STORY)
    assert tour.failures_count == 0, said.getvalue()
    assert f"copy/segments/{SEGMENT}" in shell.shown[1]


@pytest.mark.parametrize(
    "report",
    [
        CLEAN,
        {**TAMPERED, "findings": []},
        {**TAMPERED, "findings": [{"subject": "segments/another.parquet"}]},
        {**TAMPERED, "findings": [*TAMPERED["findings"], {"subject": "manifest/3"}]},
    ],
)
def test_tampering_fails_when_another_file_is_named_or_none(report: dict[str, object]) -> None:
    tour, _ = make_tour(tampering_shell(**{"meshtrail verify": json.dumps(report)}))
    step_tampering(tour, STORY)
    assert tour.failures_count == 1


def test_tampering_fails_when_verify_does_not_end_with_its_status() -> None:
    shell = tampering_shell()
    shell.statuses.clear()
    tour, _ = make_tour(shell)
    step_tampering(tour, STORY)
    assert tour.failures_count == 1


def test_copy_is_made_again_while_the_log_goes_on() -> None:
    class Busy(FakeShell):
        commits = 0

        def ask(self, command: str) -> Output:
            self.commits += "/manifest" in command
            self.outputs['ls "$MESHTRAIL_DATA/manifest"'] = f"{self.commits:012}\n"
            return super().ask(command)

    shell = Busy(tampering_shell().outputs, {"verify --data copy": 3})
    tour, said = make_tour(shell)
    step_tampering(tour, STORY)
    assert shell.shown.count("rm -r copy") == COPIES_MAX
    assert "✗ the data stays as it is while it is copied" in said.getvalue()


def test_handing_over_holds_when_plain_python_says_proven() -> None:
    shell = handover_shell()
    tour, said = make_tour(shell)
    step_hand_over(tour, STORY)
    assert tour.failures_count == 0, said.getvalue()
    assert "prove 659 663 664 665 666 --bundle" in shell.shown[0]


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "NOT PROVEN: the root is another\n",
        PROVEN.replace("PROVEN: 5", "PROVEN: 4"),
        PROVEN.replace("the key that you passed signed it", "key NOT pinned"),
        PROVEN.replace(STORY.origin, "shop/demo/00000000"),
    ],
)
def test_handing_over_fails_when_it_says_anything_else(printed: str) -> None:
    tour, _ = make_tour(handover_shell(printed))
    step_hand_over(tour, STORY)
    assert tour.failures_count == 1


def test_handing_over_fails_when_there_is_nothing_to_prove() -> None:
    shell = FakeShell({})
    tour, _ = make_tour(shell)
    step_hand_over(tour, STORY)
    assert (tour.failures_count, shell.shown) == (1, [])


@pytest.mark.parametrize(
    ("index", "name"),
    [(0, EARLIER), (659, EARLIER), (660, SEGMENT), (669, SEGMENT), (670, "")],
)
def test_file_of_an_entry_is_the_one_of_the_catalogue_that_has_it(index: int, name: str) -> None:
    assert find_segment(SEGMENTS, index=index) == name
