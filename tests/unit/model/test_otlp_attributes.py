from __future__ import annotations

import re

from meshtrail.model.event import BY_NAME
from meshtrail.model.otlp_attributes import ACCESS_LOG_TYPE, ATTRIBUTES, WHO_REPORTS, Told

OF_CONVENTIONS = ("http.", "url.", "network.", "server.", "user_agent.")


def test_each_key_stands_once() -> None:
    keys = [*(attribute.key for attribute in ATTRIBUTES), *WHO_REPORTS]
    assert len(set(keys)) == len(keys)


def test_each_attribute_fills_columns_that_there_are() -> None:
    assert {name for attribute in ATTRIBUTES for name in attribute.fills} <= BY_NAME.keys()


def test_mark_is_asked_for_of_every_record() -> None:
    [mark] = [attribute for attribute in ATTRIBUTES if attribute.key == ACCESS_LOG_TYPE]
    assert mark.told is Told.BOTH


def test_keys_are_of_the_conventions_or_of_envoy() -> None:
    strangers = [
        attribute.key
        for attribute in ATTRIBUTES
        if not attribute.key.startswith(("envoy.", *OF_CONVENTIONS))
    ]
    assert not strangers


def test_operators_are_names_with_arguments() -> None:
    for attribute in ATTRIBUTES:
        assert re.fullmatch(r"[A-Z0-9_]+(\([^()%]+\))?", attribute.operator)
