from __future__ import annotations

import re

import pytest

from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE, Told
from meshtrail.wiring.mesh_formats import mesh_operators

# Kuma's control plane reads formats itself, and refuses arguments of any other operator.
WITH_ARGUMENTS = {"REQ", "RESP", "TRAILER", "DYNAMIC_METADATA", "FILTER_STATE", "START_TIME"}
OPERATOR = re.compile(r"%([A-Z_0-9]+)(\([^)]*\))?%(ms)?")
NOT_TOLD = {"envoy.request_duration", "envoy.response_start_duration"}


@pytest.mark.parametrize("told", [Told.REQUEST, Told.CONNECTION, Told.BOTH])
def test_operators_have_no_arguments_that_kuma_refuses_and_are_none_that_envoy_lately_learned(
    told: Told,
) -> None:
    for operator in mesh_operators(told).values():
        match = OPERATOR.fullmatch(operator)
        assert match is not None, operator
        assert match[2] is None or match[1] in WITH_ARGUMENTS, operator
        assert match[1] not in {"CEL", "COMMON_DURATION", "UPSTREAM_CLUSTER_RAW"}


@pytest.mark.parametrize("told", [Told.REQUEST, Told.CONNECTION, Told.BOTH])
def test_keys_are_those_that_are_read_but_for_two_durations(told: Told) -> None:
    read = {*BESIDE, *(one.key for one in ATTRIBUTES if told & one.told)}
    assert set(mesh_operators(told)) == read - NOT_TOLD


def test_log_record_of_otlp_is_not_asked_for_its_time() -> None:
    assert set(mesh_operators(Told.BOTH)) - set(mesh_operators(Told.BOTH, is_json=False)) == {
        *BESIDE
    }


def test_no_format_asks_for_a_secret() -> None:
    secret = ("authorization", "cookie", "api-key", "peer_cert%")
    for operator in mesh_operators(Told.BOTH).values():
        assert not any(word in operator.lower() for word in secret)
