"""What stands behind an event, as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.search.moments import format_moment
from meshtrail.search.table import NULL, escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.correlate.commits import CommitClue
    from meshtrail.correlate.config_history import Change
    from meshtrail.correlate.explanation import EndFacts, Explanation, Governing

_WHO: Final = {"src": "caller", "dst": "callee"}
_LABEL_WIDTH: Final = 13
_HASH_DIGITS: Final = 16
_COMMIT_DIGITS: Final = 12


def explained_lines(explanation: Explanation) -> Iterator[str]:
    """The lines of an explanation."""
    yield from _event_lines(explanation)
    for end in explanation.ends:
        yield from _end_lines(end)
    if explanation.is_named:
        for one in explanation.governing:
            yield from _governing_lines(one)
    elif explanation.governing:
        yield "no policy is named; policies in the callee's namespace"
        for one in explanation.governing:
            yield from _brief_lines(one)
    if explanation.is_named and not explanation.governing:
        policy = _name(explanation.event, "policy_namespace", "policy_name")
        yield f"policy {policy}: the log holds no change of it"


def _event_lines(explanation: Explanation) -> Iterator[str]:
    event = explanation.event
    yield f"entry {event['log_index']}: {event['kind']} at {format_moment(explanation.at_ns)}"
    asked = " ".join(_said(event, "http_request_method", "url_path"))
    status = event["http_response_status_code"]
    yield from _line("request", asked, None if status is None else f"answered {status}")
    rule = event["policy_rule"]
    by = _name(event, "policy_namespace", "policy_name")
    yield from _line(
        "decision",
        event["decision"],
        by and f"by policy {by}" + (f" rule {escape(rule)}" if rule is not None else ""),
        event["decision_trust"],
    )
    yield from _line("user", event["user_id"], event["user_issuer"], event["user_id_trust"])


def _end_lines(end: EndFacts) -> Iterator[str]:
    facts = end.facts
    yield _WHO[end.side]
    yield from _line("identity", facts["spiffe_id"], facts["spiffe_id_trust"])
    yield from _line("address", facts["ip"])
    trust = facts["workload_trust"]
    held = facts["inventory_index"]
    rests = None if held is None else f"entry {held}"
    pod = _name(facts, "namespace", "pod") if facts["pod"] is not None else None
    yield from _line("pod", pod, facts["node"] and f"on {escape(facts['node'])}", trust, rests)
    version = facts["version"] and f"version {escape(facts['version'])}"
    yield from _line("workload", facts["workload"], version, facts["cluster"])
    yield from _line("image", facts["image_digest"], facts["image"])
    is_open = facts["pod"] is None and facts["inventory_conflict"] is None
    if is_open and facts["ip"] is not None:
        candidates = facts["inventory_candidates"] or 0
        many = f"{candidates} pods may have had this address then"
        none = "no pod is known to have had this address then"
        yield from _line("pod", many if candidates else none)
    yield from _line("conflict", facts["inventory_conflict"])
    for clue in end.commits:
        yield from _clue_lines(clue)


def _governing_lines(one: Governing) -> Iterator[str]:
    key = one.key
    name = "/".join(filter(None, (key.namespace, key.name)))
    of = f" of {escape(key.cluster)}" if key.cluster else ""
    yield f"{escape(key.kind or 'object')} {escape(name)}{of}"
    if one.in_force is None:
        yield from _line("in force", "the log begins later: what governed then is not known")
    else:
        yield from _change_lines("in force", one.in_force)
        for clue in one.commits:
            yield from _clue_lines(clue)
    if one.next is not None:
        yield from _change_lines("next change", one.next)


def _brief_lines(one: Governing) -> Iterator[str]:
    """One of many, of which none is known to have decided."""
    told = ["not known: the log begins later"]
    if one.in_force is not None:
        row = one.in_force.row
        since = "gone since" if one.in_force.is_removal else "since"
        told = [
            f"{since} {format_moment(one.in_force.at_ns)}",
            f"{row['operation']} by {row['actor'] or NULL}",
            f"entry {row['log_index']}",
        ]
    yield "  " + "  ".join(map(escape, (one.key.kind, one.key.name, *told)))


def _change_lines(label: str, change: Change) -> Iterator[str]:
    row = change.row
    what = "gone since" if change.is_removal else "since"
    entry = f"entry {row['log_index']}"
    yield from _line(label, f"{what} {format_moment(change.at_ns)}", row["operation"], entry)
    acted = row["actor_impersonated"] and f"as {escape(row['actor_impersonated'])}"
    yield from _line("actor", row["actor"], acted, row["actor_ip"], row["actor_trust"])
    yield from _line("effect", ", ".join(change.security) or None)
    before, after = change.before_hash, row["spec_hash"]
    if after is not None:
        known = before.hex()[:_HASH_DIGITS] if before is not None else NULL
        yield from _line("spec", f"{known} -> {after.hex()[:_HASH_DIGITS]}")


def _clue_lines(clue: CommitClue) -> Iterator[str]:
    entries = f"entry {clue.told_by}"
    subject = f'"{escape(clue.subject)}"' if clue.subject else None
    yield from _line("commit", clue.commit_id[:_COMMIT_DIGITS], subject, clue.repository_url)
    yield from _line("", clue.reason, clue.trust.value, entries)
    if clue.commit is not None:
        index = f"entry {clue.commit['log_index']}"
        yield from _line(
            "author" if clue.is_of_history else "pushed by",
            clue.commit["actor"],
            clue.commit["actor_trust"],
            index,
        )


def _line(label: str, value: object, *more: object) -> Iterator[str]:
    """A label and what it says; nothing where the first value is nothing."""
    if value is None or value == "":
        return
    texts = [escape(str(one)) for one in (value, *more) if one is not None and one != ""]
    yield f"  {label:<{_LABEL_WIDTH}}{texts[0]}" + "".join(f"  {text}" for text in texts[1:])


def _said(row: dict[str, Any], *names: str) -> list[str]:
    return [str(row[name]) for name in names if row[name] is not None]


def _name(row: dict[str, Any], namespace: str, name: str) -> str | None:
    """``namespace/name``, or the name alone where no namespace is said."""
    return "/".join(_said(row, namespace, name)) if row[name] is not None else None
