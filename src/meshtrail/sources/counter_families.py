"""Which counters of an Envoy are kept: those that let somebody count its records, and why.

A counter is known by its full name (``http.inbound.downstream_rq_total``) or by the name that is
left when its tags are taken out (``http.downstream_rq_total``), the door then being a label. What
each of them holds exactly, and what it only bounds, is measured in docs/completeness.md.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

NAME_BYTES_MAX: Final = 512
"""Of longer names none is looked at; the longest that Envoy sends here has some 150 bytes."""

_NAMES_REMEMBERED: Final = 16_384
"""A proxy with 300 clusters pushes 2,300 families, and its neighbours the same."""

COLLECTOR_CLUSTER: Final = "meshtrail"
"""Stands in the name of the cluster that leads to us, however ``emit-config`` was asked for it."""


class Family(NamedTuple):
    """Counters that are kept.

    Attributes:
        scope: what the name begins with: ``http``, ``listener``, ``tcp``, ``cluster`` have a door
            each behind them; "" is the process as a whole.
        tail: what the name ends with, behind the door.
        field: what it is called in the detail of an event; several are summed in one.
        reason: why it is kept.
    """

    scope: str
    tail: str
    field: str
    reason: str


class Counter(NamedTuple):
    """What a name says.

    Attributes:
        family: which of the kept ones.
        door: of the name; None where it has none, or leaves it to a label.
    """

    family: Family
    door: str | None


_LOST: Final = "records are lost on the way, and no record says so"
_EARLY: Final = "ended before a filter chain was found: a record, but none of the counters above"
_FAILED: Final = "a caller that did not prove who it is"

FAMILIES: Final = (
    Family("http", "downstream_rq_total", "requests_started", "each is a record once it ended"),
    Family("http", "downstream_rq_active", "requests_active", "those that have no record yet"),
    Family("http", "downstream_rq_completed", "requests_completed", "answers, 100-continue too"),
    Family("listener", "downstream_cx_total", "connections_started", "each is a record at its end"),
    Family("listener", "downstream_cx_active", "connections_active", "those without a record yet"),
    Family("listener", "no_filter_chain_match", "no_filter_chain", _EARLY),
    Family("listener", "downstream_listener_filter_remote_close", "connections_early", _EARLY),
    Family("listener", "downstream_listener_filter_error", "connections_early", _EARLY),
    Family("listener", "downstream_pre_cx_timeout", "connections_early_timeout", _EARLY),
    Family("listener", "downstream_cx_overflow", "connections_refused", "they have no record"),
    Family("listener", "downstream_cx_overload_reject", "connections_refused", "no record"),
    Family("listener", "downstream_global_cx_overflow", "connections_refused", "no record"),
    Family("listener", "ssl.connection_error", "handshakes_failed", _FAILED),
    Family("listener", "ssl.fail_verify_no_cert", "handshakes_failed", _FAILED),
    Family("listener", "ssl.fail_verify_error", "handshakes_failed", _FAILED),
    Family("listener", "ssl.fail_verify_san", "handshakes_failed", _FAILED),
    Family("listener", "ssl.fail_verify_cert_hash", "handshakes_failed", _FAILED),
    Family("tcp", "downstream_cx_total", "tcp_started", "where only the TCP proxy logs"),
    Family("", "access_logs.grpc_access_log.logs_written", "logs_written", "HTTP records buffered"),
    Family("", "access_logs.grpc_access_log.logs_dropped", "logs_dropped", "of a full buffer"),
    Family(
        "",
        "access_logs.grpc_access_log.grpc_entries_flushed",
        "logs_flushed",
        "records of all kinds that were handed to a stream: what did not arrive of them is lost",
    ),
    Family("access_logs.open_telemetry_access_log", "logs_written", "otlp_logs_written", "taken"),
    Family("access_logs.open_telemetry_access_log", "logs_dropped", "otlp_logs_dropped", _LOST),
    Family("cluster", "upstream_cx_connect_fail", "log_connect_failures", _LOST),
    Family("cluster", "upstream_cx_connect_timeout", "log_connect_failures", _LOST),
    Family("cluster", "upstream_cx_destroy_with_active_rq", "log_connections_cut", _LOST),
    Family("cluster", "upstream_rq_pending_failure_eject", "log_streams_refused", _LOST),
    Family("cluster", "upstream_rq_tx_reset", "log_streams_reset", _LOST),
    Family("cluster", "upstream_rq_rx_reset", "log_streams_reset", _LOST),
    Family("", "server.hot_restart_epoch", "epoch", "another process counts from 0 again"),
    Family("", "server.uptime", "uptime_s", "a process that started again counts from 0 again"),
)

SHOWN_BY_DOOR: Final = {"http": "by_http", "listener": "by_listener"}
"""Scopes whose doors are told apart, and what the part that does so is called."""

DOOR_LABELS: Final = {
    "http": "http_conn_manager_prefix",
    "listener": "listener_address",
    "tcp": "tcp_prefix",
    "cluster": "cluster_name",
}
"""The label that names the door where tags are taken out of names, as Istio's proxies call it;
other Envoys put ``LABEL_PREFIX`` before it."""

LABEL_PREFIX: Final = "envoy."

_UNLOGGED_DOORS: Final = frozenset({"admin", "async-client", "agent", "stats"})
"""Envoy's own, and those of Istio's agent: none of them has an access log."""

_PART_OF_A_DOOR: Final = re.compile(r"(?:.*\.)?user_agent(?:\.\w+)?", re.DOTALL)
"""What callers with one kind of user agent made a connection manager count: in its sum already."""
_PART_OF_A_LISTENER: Final = re.compile(r".*\.(?:worker_\d+|main_thread)", re.DOTALL)
"""What one thread counted of a listener: it stands in the sum already."""

_BY_NAME: Final = {
    ".".join(filter(None, [family.scope, family.tail])): family for family in FAMILIES
}


def _by_tail() -> dict[str, list[Family]]:
    found: dict[str, list[Family]] = {}
    for family in FAMILIES:
        if family.scope:
            found.setdefault(family.tail, []).append(family)
    return found


_BY_TAIL: Final = _by_tail()
_TAIL_WORDS_MAX: Final = max(tail.count(".") for tail in _BY_TAIL) + 1


@lru_cache(maxsize=_NAMES_REMEMBERED)
def find_counter(name: bytes) -> Counter | None:
    """What the name of a counter says; None for one that is not kept.

    Args:
        name: at most ``NAME_BYTES_MAX`` bytes; of a longer one nothing is known.
    """
    if len(name) > NAME_BYTES_MAX:
        return None
    try:
        text = name.decode()
    except UnicodeDecodeError:
        return None
    family = _BY_NAME.get(text)
    if family is not None:
        return Counter(family, None)
    words = text.rsplit(".", _TAIL_WORDS_MAX)
    for count in range(1, len(words)):
        tail = ".".join(words[-count:])
        for candidate in _BY_TAIL.get(tail, ()):
            if text.startswith(f"{candidate.scope}."):
                door = text[len(candidate.scope) + 1 : -len(tail) - 1]
                return Counter(candidate, door) if is_logged(candidate.scope, door) else None
    return None


def is_logged(scope: str, door: str | None) -> bool:
    """Whether what a door counts is about records: it has an access log, or leads to us."""
    if scope not in DOOR_LABELS:
        return True
    if not door:
        return False
    if scope == "cluster":
        return COLLECTOR_CLUSTER in door
    if scope == "http" and _PART_OF_A_DOOR.fullmatch(door):
        return False
    if scope == "listener" and _PART_OF_A_LISTENER.fullmatch(door):
        return False
    return door not in _UNLOGGED_DOORS
