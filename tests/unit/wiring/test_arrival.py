from __future__ import annotations

from pathlib import Path

import pytest

from meshtrail.collect.tail import TailOptions
from meshtrail.config import read_tables
from meshtrail.model.record_formats import LINE_FORMATS
from meshtrail.wiring import cilium, consul, kuma, linkerd, ztunnel
from meshtrail.wiring.arrival import Lines, format_arrival
from tests.unit.wiring.wirings import DOOR, LOOPBACK

LINES = [module.LINES for module in (cilium, consul, kuma, linkerd, ztunnel)]


@pytest.mark.parametrize("lines", LINES, ids=[f"{one.path}" for one in LINES])
def test_lines_are_of_a_format_that_is_read_and_lie_in_the_folder_that_is_named(
    lines: Lines,
) -> None:
    assert lines.record_format in LINE_FORMATS
    assert lines.path.startswith(f"{lines.folder}/")
    text = format_arrival(lines, DOOR)
    assert f"POST https://{DOOR.format()}/v1/records/{lines.record_format}\n" in text
    assert lines.folder in text


@pytest.mark.parametrize("lines", LINES, ids=[f"{one.path}" for one in LINES])
def test_options_in_the_comment_are_options(lines: Lines, tmp_path: Path) -> None:
    table = "\n".join(
        line.removeprefix("#").strip()
        for line in format_arrival(lines, DOOR).split("\n")
        if line.startswith("#   ") and "POST" not in line
    )
    file = tmp_path / "meshtrail.toml"
    file.write_text(table, encoding="utf-8")
    tables = read_tables(file)
    [tail] = tables["collect"]["tail"]
    assert TailOptions(path=Path(tail["path"]), format=tail["format"]) == TailOptions(
        path=Path(lines.path), format=lines.record_format
    )


def test_shipper_speaks_tls_but_on_loopback() -> None:
    assert "POST http://127.0.0.1:4317/" in format_arrival(LINES[0], LOOPBACK)
