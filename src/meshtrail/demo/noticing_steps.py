"""The middle of the tour: what the ledger noticed by itself.

A sidecar that logs nothing leaves nothing to search for. What gives it away is what it counts, what
the other ends of its calls report, and where a certificate is used.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from meshtrail.demo.breach import CULPRIT, STOLEN_FROM, VICTIM

if TYPE_CHECKING:
    from meshtrail.demo.story import Story
    from meshtrail.demo.tour import Row, Tour

LEDGER_S_MAX: Final = 60.0
KINDS: Final = (
    "connection",
    "counter",
    "finding",
    "gap",
    "handshake",
    "request",
    "span",
    "stream_opened",
)
"""The kinds of events of a mesh of Envoys that all run on, with clocks that are right."""
_NOT_WRITTEN: Final = "not_written"
_KEY_SHARED: Final = "key_shared"
_TOLD: Final = "meshtrail search 'kind:gap OR kind:finding' --limit 1000"
_GAPS: Final = "kind:gap"
_COMPLETENESS: Final = "meshtrail completeness"
_BOTH_ENDS: Final = """\
meshtrail search --sql "SELECT side AS told_by, count(*) AS calls
  FROM events WHERE kind = 'request' AND dst_service_account = 'customers'
    AND src_service_account IN ('checkout', 'frontend') AND src_ip <> '{culprit_ip}'
  GROUP BY ALL ORDER BY ALL\""""
_SHARED: Final = "cause:key_shared"
_KINDS: Final = """\
meshtrail search --sql "SELECT kind, count(*) AS events, string_agg(DISTINCT source, ' ') AS sources
  FROM events GROUP BY ALL ORDER BY ALL\""""


def step_missing(tour: Tour, story: Story) -> None:
    """What is not in the log, and how that shows."""
    tour.step(
        "And what is not in the log?",
        f"The attacker ended by taking the access logs out of the sidecar of {VICTIM.name}, which "
        "reports nothing from then on: no search can find what it served. But an Envoy counts what "
        "it does, and its counters are sealed beside its records. The ledger holds one against the "
        "other, and gives records ten seconds to come in before it calls them missing.",
    )
    tour.wait_for(
        "the ledger has spoken",
        lambda: _has_spoken(tour.ask(_TOLD), story),
        seconds_max=LEDGER_S_MAX,
    )
    account = next(iter(tour.show_and_ask(_COMPLETENESS)), {})
    reporters = account.get("reporters", [])
    tour.begin_claims()
    tour.claim(
        f"records of {VICTIM.name} are missing, and of nobody else",
        want=[VICTIM.name],
        got=[_workload(one["spiffe_id"]) for one in reporters if one["missing"]],
    )
    gaps = tour.find(_GAPS, columns="index,cause,missing_min,missing_max,about")
    missing_count = _count_missing(gaps)
    tour.begin_claims()
    _claim_numbers(tour, story, gaps)
    tour.say(
        "Who asked for them? A workload's calls are reported by its own sidecar, too, whatever the "
        f"other end does. These are the calls of {VICTIM.name}, as either end tells of them."
    )
    command = _BOTH_ENDS.format(culprit_ip=story.culprit_ip)
    calls = {row.get("told_by"): row["calls"] for row in tour.show_and_ask(command)}
    only_callers_count = calls.get("source", 0) - calls.get("destination", 0)
    tour.begin_claims()
    tour.claim(
        f"{story.silence.calls_count} were honest: the callers' own sidecars report them",
        want=story.silence.calls_count,
        got=only_callers_count,
    )
    tour.claim(
        f"the other {len(story.silence.reads)} came past every sidecar: as many as the attacker "
        "read on",
        want=len(story.silence.reads),
        got=missing_count - only_callers_count,
    )


def _claim_numbers(tour: Tour, story: Story, gaps: list[Row]) -> None:
    silence = story.silence
    tour.claim(
        f"{silence.requests_count} requests were served and not logged by a sidecar that used to "
        "log them: exactly as many as were sent",
        want=silence.requests_count,
        got=_count_missing(gaps),
    )
    tour.claim(
        f"and {silence.connections_count} connections, as its admin endpoint confirms",
        want=silence.connections_count,
        got=_count_others(gaps),
    )


def step_noticed(tour: Tour, story: Story) -> None:
    """Whose certificate the ledger found where it does not belong."""
    tour.step(
        "Did anybody have to look for the stolen certificate?",
        "No: an inventory says which workload runs at which address, and the ledger holds each "
        "use of a certificate against it. What it finds is sealed like everything else.",
    )
    rows = tour.find(_SHARED, columns="index,about,detail")
    details = [json.loads(row["detail"]) for row in rows]
    tour.begin_claims()
    tour.claim(
        f"the certificate of {STOLEN_FROM.name} was used at {story.culprit_ip}, where "
        f"{CULPRIT.name} runs; no other was used where it does not belong",
        want=[(STOLEN_FROM.name, story.culprit_ip)],
        got=[(_workload(one["about"]), one["address"]) for one in details],
    )
    tour.claim(
        "it is the certificate that the attacker has, by its SHA-256",
        want=[story.stolen_sha256],
        got=[one["certificate_sha256"] for one in details],
    )


def step_kinds(tour: Tour, _: Story) -> None:
    """Everything that the record is made of."""
    tour.step(
        "What is the record made of?",
        "Access logs came by two protocols, spans and counters by two more; handshakes that failed "
        "are in the access logs. What meshtrail says itself is of the source meshtrail.",
    )
    kinds = {row["kind"] for row in tour.show_and_ask(_KINDS)}
    tour.begin_claims()
    tour.claim(
        f"there are events of all kinds: {', '.join(KINDS)}",
        want=[*KINDS],
        got=[kind for kind in KINDS if kind in kinds],
    )
    tour.claim("and none that could not be read", want=False, got="undecoded" in kinds)


def _has_spoken(told: list[Row], story: Story) -> bool:
    """Whether the ledger has told of all that is missing, and of the stolen certificate."""
    return (
        _count_missing(told) >= story.silence.requests_count
        and _count_others(told) >= story.silence.connections_count
        and any(row["cause"] == _KEY_SHARED for row in told)
    )


def _count_missing(told: list[Row]) -> int:
    """Requests that were served and not logged, at least."""
    return sum(row["missing_min"] for row in told if row["cause"] == _NOT_WRITTEN)


def _count_others(told: list[Row]) -> int:
    """What else is missing, at least: of connections, no count says whether they were logged."""
    gaps = [row for row in told if row["kind"] == "gap"]
    return sum(gap["missing_min"] for gap in gaps if gap["cause"] != _NOT_WRITTEN)


def _workload(spiffe_id: str) -> str:
    return spiffe_id.rpartition("/")[2]
