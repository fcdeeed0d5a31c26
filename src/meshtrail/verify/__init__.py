"""The auditor: checks a log that it does not trust, proves single entries, checks such proofs.

In: a data directory, or a proof or bundle that came out of one, and a key from outside. Out: a
report, or a ``TamperError`` that names what is wrong. Uses merkle, note, model, sources and the
readers of store; never log, collect or search: a mistake of the writer must not excuse itself. It
never writes into DATA. ``standalone_check`` imports nothing of meshtrail: it is the ``check.py`` of
bundles. For the faces above.
"""

from meshtrail.verify.audit import Progress, audit, parse_index_range
from meshtrail.verify.check import CheckedEntry, CheckReport, check_file
from meshtrail.verify.evidence import Evidence
from meshtrail.verify.findings import Finding, Severity
from meshtrail.verify.pins import (
    KeySource,
    TrustedKey,
    default_pins_file,
    find_key,
    find_log_key,
    read_pins,
    write_pin,
)
from meshtrail.verify.prove import ProveReport, prove, write_bundle
from meshtrail.verify.report import AuditReport

__all__ = [
    "AuditReport",
    "CheckReport",
    "CheckedEntry",
    "Evidence",
    "Finding",
    "KeySource",
    "Progress",
    "ProveReport",
    "Severity",
    "TrustedKey",
    "audit",
    "check_file",
    "default_pins_file",
    "find_key",
    "find_log_key",
    "parse_index_range",
    "prove",
    "read_pins",
    "write_bundle",
    "write_pin",
]
