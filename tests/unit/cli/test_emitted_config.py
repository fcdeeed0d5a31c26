from __future__ import annotations

import pytest
import yaml

from meshtrail.cli.emit_config_options import ADDRESSES, KINDS, make_emit_config_parser
from meshtrail.cli.emitted_config import format_config


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_yaml_that_goes_where_it_is_told(kind: str) -> None:
    parser = make_emit_config_parser()
    text, collector = format_config(parser, parser.parse_args([kind]))
    assert any(yaml.safe_load_all(text))
    assert collector.format() == ADDRESSES[kind]
    assert collector.host in text


def test_otlp_of_kuma_goes_to_the_node_because_it_is_in_the_clear() -> None:
    parser = make_emit_config_parser()
    _, collector = format_config(parser, parser.parse_args(["kuma", "--otlp"]))
    assert collector.is_loopback
