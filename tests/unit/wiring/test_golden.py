"""What is printed, as a reviewer sees it; regenerate with MESHTRAIL_UPDATE_GOLDEN=1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from tests.unit.wiring.wirings import TEXTS

GOLDEN = Path(__file__).parent / "golden"
COLUMNS_MAX = 100


@pytest.mark.parametrize("name", TEXTS)
def test_configuration_is_what_was_last_agreed_on(name: str) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("MESHTRAIL_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(TEXTS[name], encoding="utf-8")
    assert TEXTS[name] == path.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_a_configuration() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_comments_fit_a_terminal_and_no_line_ends_in_blanks(name: str) -> None:
    for line in TEXTS[name].split("\n"):
        assert line == line.rstrip()
        assert not line.lstrip().startswith("#") or len(line) <= COLUMNS_MAX


@pytest.mark.parametrize("name", TEXTS)
def test_no_key_stands_twice_in_a_mapping(name: str) -> None:
    # YAML readers keep the last of them, silently.
    class Strict(yaml.SafeLoader):
        pass

    def construct(loader: Strict, node: yaml.MappingNode) -> dict[object, object]:
        keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return loader.construct_mapping(node, deep=True)

    Strict.add_constructor("tag:yaml.org,2002:map", construct)
    assert list(yaml.load_all(TEXTS[name], Strict))
