"""What ran where, and when: workload events in, who had an address at a nanosecond out.

Pure functions of tables, but for ``reading``, which finds the events in a log. The rules stand in
docs/inventory.md. Used by the command line and by what investigates.
"""

from meshtrail.correlate.workloads.address_history import AddressHistory, Holders
from meshtrail.correlate.workloads.enrichment import ENRICH_COLUMNS, VIEW_COLUMNS, enrich
from meshtrail.correlate.workloads.facts import WORKLOAD_COLUMNS
from meshtrail.correlate.workloads.lifetimes import LIFETIME_SCHEMA, pod_lifetimes
from meshtrail.correlate.workloads.reading import read_history, read_workloads
from meshtrail.correlate.workloads.tenures import EndedBy

__all__ = [
    "ENRICH_COLUMNS",
    "LIFETIME_SCHEMA",
    "VIEW_COLUMNS",
    "WORKLOAD_COLUMNS",
    "AddressHistory",
    "EndedBy",
    "Holders",
    "enrich",
    "pod_lifetimes",
    "read_history",
    "read_workloads",
]
