"""What the ledger says: gaps, findings and minutes, as entries of meshtrail's own.

The payloads are those of docs/formats/entry.md; ``sources.own_entries`` makes columns of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from meshtrail.correlate.pairing import Place
from meshtrail.correlate.proxy_account import Logged
from meshtrail.correlate.reporters import Reporter
from meshtrail.model.entry import EntryType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshtrail.correlate.clock_offsets import ClockEstimate


MINUTE: Final = "ledger_minute"
PLACES: Final = "ledger_places"
PLACES_MAX: Final = 256
"""Places that one statement lists."""


class Cause(StrEnum):
    """Why records are missing, or what a finding is about: a closed list."""

    DROPPED = "dropped"
    """The proxy counted records that it did not keep: its buffer was full."""
    CONNECTION_RESET = "connection_reset"
    """The connection to the collector broke meanwhile."""
    COLLECTOR_DOWN = "collector_down"
    """The collector did not run meanwhile."""
    RESTART = "restart"
    """The proxy was started again; what it counted last is not known."""
    NOT_WRITTEN = "not_written"
    """The proxy served requests that its access log says nothing of, and used to."""
    UNKNOWN = "unknown"
    SILENT = "silent"
    """A reporter that used to report says nothing any more."""
    UNPAIRED = "unpaired"
    """One end of calls reports them, and the other should have, and does not."""
    PAIRED_LATE = "paired_late"
    """Entries that were told to be unpaired have found their partner."""
    KEY_SHARED = "key_shared"
    """An identity or a certificate is used from where it does not belong."""
    NAME_SHARED = "name_shared"
    """Several processes count under one name at a time: whose is what cannot be told."""
    CLOCK_STEPPED = "clock_stepped"
    """What is known of a reporter's clock contradicts itself: it was set, or the collector's."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One entry to be sealed.

    Attributes:
        payload: plain JSON values.
    """

    entry_type: EntryType
    payload: dict[str, Any]


def gap(
    reporter: Reporter,
    cause: Cause,
    *,
    from_ns: int,
    until_ns: int,
    seen_until_ns: int,
    missing_min: int,
    missing_max: int | None,
    **more: object,
) -> Statement:
    """Records of a reporter that are known to be missing.

    Args:
        reporter: whose.
        cause: why, as far as counters and streams explain it.
        from_ns: on the reporter's clock.
        until_ns: likewise.
        seen_until_ns: arrival of what shows it, on the collector's clock.
        missing_min: at least.
        missing_max: at most; None where nothing bounds it.
        more: what else is known.
    """
    return Statement(
        EntryType.GAP,
        {
            **_about(reporter),
            "cause": cause.value,
            "from_ns": from_ns,
            "until_ns": until_ns,
            "seen_from_ns": seen_until_ns - (until_ns - from_ns),
            "seen_until_ns": seen_until_ns,
            "missing_min": missing_min,
            "missing_max": missing_max,
            **more,
        },
    )


def finding(
    reporter: Reporter, cause: Cause, *, from_ns: int, until_ns: int, **more: object
) -> Statement:
    """Something about a reporter that somebody should look at."""
    payload = {**_about(reporter), "cause": cause.value, "from_ns": from_ns, "until_ns": until_ns}
    return Statement(EntryType.FINDING, payload | more)


def finding_about(
    about: str | None, cause: Cause, *, from_ns: object, until_ns: object, **more: object
) -> Statement:
    """Something about whoever goes by a name that somebody should look at."""
    payload = {"about": about, "cause": cause.value, "from_ns": from_ns, "until_ns": until_ns}
    return Statement(EntryType.FINDING, payload | more)


def minute(
    reporter: Reporter,
    *,
    from_ns: int,
    until_ns: int,
    missing_min: int,
    missing_max: int | None,
    logged: Logged,
    **figures: object,
) -> Statement:
    """The account of a reporter for a minute, on the collector's clock.

    What the reporter is known to log is read back by whoever goes on after a restart.
    """
    return Statement(
        EntryType.COUNTER,
        {
            **_about(reporter),
            "name": MINUTE,
            "from_ns": from_ns,
            "until_ns": until_ns,
            "missing_min": missing_min,
            "missing_max": missing_max,
            "requests_logged": logged.requests,
            "connections_logged": logged.connections,
            **figures,
        },
    )


def clock(reporter: Reporter, estimate: ClockEstimate) -> Statement:
    """How far a reporter's clock is from the collector's; times are on the collector's."""
    payload = {
        **_about(reporter),
        "offset_ns": estimate.offset_ns,
        "error_ns": estimate.error_ns,
        "quality": estimate.quality.value,
        "from_ns": estimate.from_ns,
        "until_ns": estimate.until_ns,
    }
    if estimate.is_stepped:
        payload["cause"] = Cause.CLOCK_STEPPED.value
    return Statement(EntryType.CLOCK, payload)


def known_places(places: Sequence[Place], *, from_ns: int, until_ns: int) -> Iterator[Statement]:
    """Where proxies report from; whoever goes on after a restart reads it back."""
    for start in range(0, len(places), PLACES_MAX):
        facts = {"name": PLACES, "about": "ledger", "from_ns": from_ns, "until_ns": until_ns}
        listed = [list(place) for place in places[start : start + PLACES_MAX]]
        yield Statement(EntryType.COUNTER, facts | {"places": listed})


def parse_places(detail: str) -> list[Place]:
    """The places that a statement lists; none where it lists none."""
    said = json.loads(detail)
    return [Place(*one) for one in said["places"]] if said.get("name") == PLACES else []


def parse_logged(detail: str) -> tuple[Reporter, Logged]:
    """What a minute says that its reporter logs."""
    said = json.loads(detail)
    return Reporter(**said["reporter"]), Logged(said["requests_logged"], said["connections_logged"])


def _about(reporter: Reporter) -> dict[str, Any]:
    return {
        "about": reporter.name,
        "reporter": {
            "id": reporter.id,
            "spiffe_id": reporter.spiffe_id,
            "token": reporter.token,
        },
    }
