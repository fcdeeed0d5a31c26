"""Envoy's access log as a file of JSON lines: the same facts as of its OpenTelemetry access log.

Source: envoy.extensions.access_loggers.file.v3; envoy.config.core.v3.SubstitutionFormatString.
"""

from __future__ import annotations

from typing import Final

from meshtrail.model.otlp_attributes import ATTRIBUTES, BESIDE, Told
from meshtrail.wiring.values import quote

PORTIONS: Final = """\
# Envoy writes to the file when it has 64 KiB, and every 10 s: --file-flush-interval-msec 250 makes
# that as often as meshtrail seals. What the disk does not take is lost, and counted in
# filesystem.write_failed. Nothing here rotates the file: move it away, then POST /reopen_logs to
# the admin endpoint. Lines say nothing of who sent them, so nothing in them is ever attested.
"""
"""How lines get lost, and what a file cannot do, as a comment."""

_LOGGER: Final = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


def format_file_log(path: str, *, told: Told, filtered: str = "") -> str:
    """An item of an ``access_log``.

    Args:
        path: of the file, as the proxy sees it.
        told: what its records are of.
        filtered: lines of the item that choose among the records, indented by two.
    """
    asked = BESIDE | {one.key: one.operator for one in ATTRIBUTES if told in one.told}
    keys = "\n".join(f"        {key}: {quote(f'%{op}%')}" for key, op in asked.items())
    return f"""\
- name: envoy.access_loggers.file
{filtered}  typed_config:
    "@type": {_LOGGER}
    path: {quote(path)}
    log_format:
      # Half of what is asked for has no value, in a usual record.
      omit_empty_values: true
      # All that events are made of. What is logged is kept for good: never add authorization,
      # cookie or anything else that is a secret.
      json_format:
{keys}"""
