from __future__ import annotations

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.wiring import LinkerdPart, format_linkerd
from tests.unit.wiring.wirings import DOOR


def documents(part: LinkerdPart | None = None) -> list[dict[str, object]]:
    text = format_linkerd(DOOR, namespace="shop", part=part)
    return [document for document in yaml.safe_load_all(text) if document is not None]


def test_values_and_annotations_say_the_same() -> None:
    values, namespace = documents()
    assert values == {
        "proxy": {"accessLog": "json", "logLevel": "warn,linkerd=info", "logFormat": "json"}
    }
    assert namespace["metadata"] == {
        "name": "shop",
        "annotations": {
            "config.linkerd.io/access-log": "json",
            "config.linkerd.io/proxy-log-level": "warn,linkerd=info",
            "config.linkerd.io/proxy-log-format": "json",
        },
    }


def test_nobody_is_let_in_by_what_is_printed() -> None:
    for document in documents():
        assert "inbound" not in str(document).lower()


@pytest.mark.parametrize(("part", "number"), [("values", 0), ("annotations", 1)])
def test_one_part_is_printed_alone(part: LinkerdPart, number: int) -> None:
    assert documents(part) == [documents()[number]]


def test_namespace_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="--namespace"):
        format_linkerd(DOOR, namespace="a: b")
