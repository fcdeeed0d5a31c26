"""Each attack of the catalogue is found and named, and nothing honest is taken for one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meshtrail import errors
from meshtrail.errors import ConfigError, TamperError
from tests.faults.tamper.attack import Attack, Outcome
from tests.faults.tamper.catalogue import all_attacks
from tests.faults.tamper.scene import Scene, Stage, report_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return Stage(tmp_path_factory.mktemp("tamper"))


@pytest.fixture
def scene(stage: Stage) -> Iterator[Scene]:
    scene = stage.copy()
    yield scene
    stage.drop(scene)


def attacks(*outcomes: Outcome) -> list[Attack]:
    return [attack for attack in all_attacks() if attack.outcome in outcomes]


def test_untouched_log_is_clean_in_every_way_of_auditing(scene: Scene) -> None:
    report = scene.audit(with_lock_record=True, is_deep=True)
    assert report.is_clean
    assert report.entries_count == report.derived_count == 16
    assert report.heads_checked == 5
    assert {finding.check for finding in report.explained} == {"unnamed-file"}


@pytest.mark.parametrize("attack", attacks(Outcome.TAMPERED), ids=lambda attack: attack.name)
def test_attack_is_named_with_its_object(attack: Attack, scene: Scene) -> None:
    attack.run(scene)
    with pytest.raises(TamperError) as caught:
        scene.audit(with_lock_record=attack.with_lock_record, is_deep=attack.is_deep)
    report = report_of(caught.value)
    found = {(finding.check, finding.subject) for finding in report.findings}
    assert (type(caught.value).__name__, caught.value.subject) == (attack.check, attack.subject)
    assert set(attack.also) <= found
    assert not report.is_clean


@pytest.mark.parametrize("attack", attacks(Outcome.REFUSED), ids=lambda attack: attack.name)
def test_directory_that_is_none_is_refused(attack: Attack, scene: Scene) -> None:
    attack.run(scene)
    with pytest.raises(ConfigError) as caught:
        scene.audit()
    assert type(caught.value) is getattr(errors, attack.check)


@pytest.mark.parametrize("attack", attacks(Outcome.EXPLAINED), ids=lambda attack: attack.name)
def test_what_a_crash_leaves_is_explained_and_no_tampering(attack: Attack, scene: Scene) -> None:
    attack.run(scene)
    report = scene.audit(is_deep=True)
    assert report.is_clean
    assert (attack.check, attack.subject) in {
        (finding.check, finding.subject) for finding in report.explained
    }


@pytest.mark.parametrize("attack", attacks(Outcome.UNNOTICED), ids=lambda attack: attack.name)
def test_what_lies_outside_the_promise_is_not_noticed(attack: Attack, scene: Scene) -> None:
    attack.run(scene)
    assert scene.audit().is_clean
