"""Every line of the samples becomes an event that is read, or has a named reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.interop.sample_table import count_lines, format_table, import_samples

SAMPLES = os.environ.get("MESHTRAIL_SAMPLES")
pytestmark = pytest.mark.skipif(
    SAMPLES is None or not Path(SAMPLES).is_dir(),
    reason=f"MESHTRAIL_SAMPLES names no folder of samples: {SAMPLES}",
)
_OF_ONE_DOCUMENT = "otlp-json"


def test_every_line_of_every_sample_is_accounted_for(tmp_path: Path) -> None:
    samples = Path(SAMPLES or "")
    rows = list(import_samples(samples, tmp_path))
    assert len(rows) > 30
    for name, path, account in rows:
        wanted = 1 if name == _OF_ONE_DOCUMENT else count_lines(path)
        assert account.records_count == wanted, path
        assert sum(account.kinds.values()) == wanted, path
        # What is read nowhere would have a reason; so far every line of these is.
        assert "undecoded" not in account.kinds, (path, account.reasons)
        assert not account.reasons, path
    [first] = [line for line in format_table(samples, iter(rows)) if "exec_pod" in line]
    assert first == (
        "| kubernetes-audit/exec_pod.json | kubernetes-audit | 1 | 1 | 1 exec | none |"
    )
