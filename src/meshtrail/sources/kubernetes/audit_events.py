"""Events of a Kubernetes API server's audit log to event columns.

What the columns mean is in docs/sources/kubernetes-audit.md. The API server says who called, what
for, and how it ended: that is reported. What a client may choose, such as its user agent and the id
of its request, is asserted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from meshtrail.model.audited_resources import DELIVERING, READS
from meshtrail.model.event import Decision, Kind, Trust
from meshtrail.sources.digests import read_address
from meshtrail.sources.json_members import Members
from meshtrail.sources.kubernetes.audit_detail import build_detail, is_dry_run
from meshtrail.sources.kubernetes.audit_json import read_event
from meshtrail.sources.kubernetes.audit_kinds import is_below, kind_of
from meshtrail.sources.kubernetes.audit_object import (
    REMOVING,
    ShownObject,
    find_commit,
    find_object,
    govern,
    read_origin,
)
from meshtrail.sources.kubernetes.audit_values import parse_binding, parse_query, parse_uuid
from meshtrail.sources.kubernetes.canonical_json import hash_canonical
from meshtrail.sources.kubernetes.json_parts import part_of, text_of
from meshtrail.sources.kubernetes.pods import read_pod
from meshtrail.sources.kubernetes.revisions import read_delivery
from meshtrail.sources.kubernetes.security_changes import classify_request
from meshtrail.sources.record_rows import RecordRow

if TYPE_CHECKING:
    from meshtrail.sources.kubernetes.json_parts import Json

_DECISION: Final = "authorization.k8s.io/decision"
_REASON: Final = "authorization.k8s.io/reason"
_DECISIONS: Final = {"allow": Decision.ALLOWED, "forbid": Decision.DENIED}
_LEVELS: Final = frozenset({"None", "Metadata", "Request", "RequestResponse"})
_ENDED: Final = frozenset({"ResponseComplete", "Panic"})
_STAGES: Final = frozenset({"RequestReceived", "ResponseStarted", *_ENDED})
_STATUSES: Final = range(100, 600)
_DONE: Final = range(200, 300)
_HASHED_KINDS: Final = frozenset({Kind.CONFIG_CHANGE, Kind.WORKLOAD, Kind.INFRASTRUCTURE})
_CLASSIFIED_SUBRESOURCES: Final = frozenset({"", "approval"})
_URI_CHARS_MAX: Final = 64 << 10
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"
_OF_POD: Final = (
    *("pod_workload", "pod_service_account", "pod_node", "pod_ips", "pod_phase", "pod_version"),
    *("pod_labels", "image", "image_digest", "commit_id", "repository_url", "object_deleted_time"),
)
_OF_DELIVERY: Final = ("commit_id", "commit_ref", "repository_url", "image", "image_digest")
_REPORTED: Final = frozenset({"apiVersion", "kind", "metadata", "operation", "status"})


def read_audit_record(record: bytes) -> RecordRow:
    """Read a record of the audit log.

    Raises:
        InputError: it is no event of audit.k8s.io; the message is one of few.
    """
    event = read_event(record)
    return _AuditCall(event.members, event.problems).row()


class _AuditCall:
    """One event, read part by part into the columns of its row."""

    def __init__(self, members: Json, problems: list[str]) -> None:
        self._event = Members(members, problems)
        self._problems = problems
        self._columns: dict[str, Any] = {}
        path, _, query = self._uri().partition("?")
        self._path, self._query = path or None, query or None
        self._fields = parse_query(query)
        self._group = self._event.text("objectRef", "apiGroup") or ""
        self._resource = self._event.text("objectRef", "resource") or ""
        self._subresource = self._event.text("objectRef", "subresource") or ""
        self._verb = (self._event.text("verb") or "").lower()
        self._shown = ShownObject()

    def row(self) -> RecordRow:
        """The whole row."""
        self._read_times()
        self._read_actor()
        self._read_request()
        self._read_decision()
        self._shown = find_object(
            self._event.value("requestObject"),
            self._event.value("responseObject"),
            verb=self._verb,
            subresource=self._subresource,
        )
        self._read_names()
        kind = kind_of(
            group=self._group,
            resource=self._resource,
            subresource=self._subresource,
            name=self._columns["object_name"] or "",
            verb=self._verb,
            path=self._path,
        )
        kind = self._read_delivery(kind)
        self._columns["kind"] = kind.value
        if self._resource == "pods" and not self._group and self._shown.whole is not None:
            self._read_pod(self._shown.whole)
        if self._verb not in READS:
            self._read_change(kind)
        self._columns["detail"] = build_detail(
            self._event,
            kind=kind,
            resource=self._resource,
            verb=self._verb,
            shown=self._shown,
            query=self._fields,
        )
        columns = {name: value for name, value in self._columns.items() if value is not None}
        return RecordRow(columns, self._problems)

    def _uri(self) -> str:
        uri = self._event.value("requestURI")
        if isinstance(uri, str) and len(uri) <= _URI_CHARS_MAX:
            return uri
        if uri is not None:
            self._event.note("requestURI", what="is no text, or too long")
        return ""

    def _read_times(self) -> None:
        """When it began, and when it ended where this is the record of its end."""
        stage = self._stated("stage", _STAGES)
        began = self._event.moment("requestReceivedTimestamp")
        if began is None:
            # Before v1 there was one time only, of whole seconds.
            began = self._event.moment("timestamp")
        ended = self._event.moment("stageTimestamp") if stage in _ENDED else None
        self._columns |= {
            "time": began,
            "end_time": ended,
            "audit_stage": stage,
            "audit_level": self._stated("level", _LEVELS),
        }
        if began is not None and ended is not None and ended >= began:
            self._columns["duration"] = ended - began

    def _stated(self, name: str, words: frozenset[str]) -> str | None:
        """A member that is one of a closed list."""
        word = self._event.text(name)
        if word is not None and word not in words:
            self._event.note(name, what="is none of those that there are")
            return None
        return word

    def _read_actor(self) -> None:
        actor = self._event.text("user", "username")
        extra = self._event.value("user", "extra")
        pod, node = (_first_text(extra, name) for name in (_POD_NAME, _NODE_NAME))
        self._columns |= {
            "actor": actor,
            "actor_trust": Trust.REPORTED.value if actor is not None else None,
            "actor_groups": _join_escaped(self._event.texts("user", "groups")),
            "actor_impersonated": self._event.text("impersonatedUser", "username"),
            # The pod that the actor's token was made for, which the API server checked.
            "src_pod": pod,
            "src_node": node,
            "src_workload_trust": Trust.REPORTED.value if pod or node else None,
        }
        addresses = self._event.texts("sourceIPs")
        if addresses:
            # All but the last are from headers.
            ip = read_address(addresses[-1])
            if ip is None:
                self._event.note("sourceIPs", what="ends with no address")
            self._columns["actor_ip"] = ip
            self._columns["actor_forwarded_for"] = ",".join(addresses[:-1]) or None

    def _read_request(self) -> None:
        audit_id = self._event.text("auditID")
        request_id = parse_uuid(audit_id) if audit_id is not None else None
        self._columns |= {
            "request_id": request_id,
            "request_id_trust": Trust.ASSERTED.value if request_id is not None else None,
            "request_id_text": audit_id if request_id is None else None,
            "user_agent_original": self._event.text("userAgent"),
            "url_path": self._path,
            "url_query": self._query,
            "operation": self._verb or None,
            "http_response_status_code": self._status(),
        }

    def _status(self) -> int | None:
        code = self._event.integer("responseStatus", "code")
        if code is not None and code not in _STATUSES:
            self._event.note("responseStatus", "code", what="is no status of HTTP")
            return None
        return code

    def _read_decision(self) -> None:
        stated = self._event.text("annotations", _DECISION)
        decision = _DECISIONS.get(stated or "", Decision.UNKNOWN)
        if stated is not None and stated not in _DECISIONS:
            self._event.note("annotations", _DECISION, what="is neither allow nor forbid")
        self._columns["decision"] = decision.value
        if decision is Decision.UNKNOWN:
            return
        reason = self._event.text("annotations", _REASON)
        binding = parse_binding(reason or "")
        self._columns |= {
            "decision_trust": Trust.REPORTED.value,
            "decision_reason": reason,
            "policy_kind": binding.kind,
            "policy_name": binding.name,
            "policy_namespace": binding.namespace,
        }

    def _read_names(self) -> None:
        """What the call was about; of an object that was made, as the answer names it."""
        answered = self._shown.answered
        gone = part_of(self._event.value("responseObject"), "details")
        self._columns |= {
            "object_kind": self._resource or None,
            "object_group": self._group or None,
            "object_subresource": self._subresource or None,
            "object_namespace": self._event.text("objectRef", "namespace")
            or text_of(answered, "metadata", "namespace"),
            "object_name": self._event.text("objectRef", "name")
            or text_of(answered, "metadata", "name"),
            # Who asks may have written any UID into what is asked for.
            "object_uid": text_of(answered, "metadata", "uid")
            or text_of(gone, "uid")
            or self._event.text("objectRef", "uid"),
            "object_version": text_of(answered, "metadata", "resourceVersion")
            or self._event.text("objectRef", "resourceVersion"),
        }
        if answered is not None:
            answer = Members(answered, self._problems, "responseObject.")
            self._columns["object_created_time"] = answer.moment("metadata", "creationTimestamp")

    def _read_delivery(self, kind: Kind) -> Kind:
        """What Argo CD or Flux delivered, of which they tell in their objects.

        Returns:
            The kind, where they told so and changed nothing of what they are to deliver.
        """
        whole = self._shown.whole
        if whole is None or self._verb in READS or not is_below(self._group, DELIVERING):
            return kind
        told = read_delivery(Members(whole))
        if told is None:
            return kind
        self._columns |= {name: told.columns.get(name) for name in _OF_DELIVERY}
        asked = part_of(self._event.value("requestObject"))
        is_report = self._verb == "patch" and bool(asked) and asked.keys() <= _REPORTED
        return Kind.DEPLOYMENT if is_report or self._subresource == "status" else kind

    def _read_pod(self, whole: Json) -> None:
        """The pod as it was then, whoever asked for it."""
        pod = read_pod(whole)
        said = pod.columns()
        self._columns |= {name: said[name] for name in _OF_POD}
        self._problems += [each for each in pod.problems if each not in self._problems]

    def _read_change(self, kind: Kind) -> None:
        shown = self._shown
        origin = read_origin(shown.whole if shown.whole is not None else shown.patch)
        if self._columns.get("commit_id") is None:
            self._columns["commit_id"] = find_commit(origin)
        if not self._took_effect():
            return
        is_hashed = kind in _HASHED_KINDS and self._resource != "secrets"
        if is_hashed and shown.whole is not None and self._verb not in REMOVING:
            governing = govern(shown.whole, resource=self._resource)
            self._columns["spec_hash"] = hash_canonical(governing)
        if self._subresource in _CLASSIFIED_SUBRESOURCES:
            self._columns["security_change"] = ",".join(self._classify()) or None

    def _classify(self) -> tuple[str, ...]:
        shown = self._shown
        is_gone = self._verb in REMOVING
        after, is_partial = shown.whole, False
        if self._verb == "patch":
            # What was asked for says more of what changed than what it has become.
            request = self._event.value("requestObject")
            asked = find_object(request, None, verb="patch", subresource="").patch
            after, is_partial = (asked, True) if asked is not None else (after, False)
        return classify_request(
            None if is_gone else after,
            group=self._group,
            resource=self._resource,
            name=self._columns["object_name"] or "",
            verb=self._verb,
            gone=shown.whole if is_gone else None,
            is_partial=is_partial,
        )

    def _took_effect(self) -> bool:
        """Whether the call is known to have done what it asked for."""
        is_dry = is_dry_run(self._event, self._fields)
        is_denied = self._columns["decision"] == Decision.DENIED.value
        status = self._columns["http_response_status_code"]
        return not is_dry and not is_denied and status is not None and status in _DONE


def _first_text(extra: object, name: str) -> str | None:
    """The first of the values that an authenticator put beside a user."""
    values = part_of(extra).get(name)
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, str) and first else None


def _join_escaped(names: list[str]) -> str | None:
    r"""Names joined by commas; one within a name is written ``\,``, so that nobody makes up two."""
    escaped = [name.replace("\\", "\\\\").replace(",", "\\,") for name in names]
    return ",".join(escaped) or None
