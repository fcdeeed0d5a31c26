from __future__ import annotations

import pytest

from meshtrail.cli import exit_codes
from meshtrail.cli.emit_config_options import (
    ADDRESSES,
    KINDS,
    PARTS,
    make_emit_config_parser,
    refuse_strangers,
)
from meshtrail.wiring import parse_endpoint


def test_every_kind_has_an_address_that_is_one() -> None:
    assert set(KINDS) == set(ADDRESSES)
    assert set(PARTS) < set(KINDS)
    for address in ADDRESSES.values():
        assert parse_endpoint(address).format() == address


def test_every_option_but_those_of_all_kinds_is_refused_for_some(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = make_emit_config_parser()
    own = set(vars(parser.parse_args(["envoy"]))) - {"kind", "address", "json"}
    refused: dict[str, object] = {}
    for name in own:
        option = f"--{name.replace('_', '-')}"
        for kind in KINDS:
            value = [] if name == "otlp" else ["x"]
            arguments = parser.parse_args([kind, option, *value])
            try:
                refuse_strangers(parser, arguments)
            except SystemExit as ended:
                refused[name] = ended.code
    assert refused == dict.fromkeys(own, exit_codes.USAGE)
    assert "goes with" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_kind_alone_is_enough(kind: str) -> None:
    parser = make_emit_config_parser()
    refuse_strangers(parser, parser.parse_args([kind]))
