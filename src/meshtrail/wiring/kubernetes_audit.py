"""How a Kubernetes API server is told to log who changed what, and to send it.

Source: audit.k8s.io/v1 (Policy), v1 Config (kubeconfig), kube-apiserver's flags; what an API server
does when a webhook does not answer is in docs/sources/kubernetes-audit-webhook.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from meshtrail.errors import ConfigError
from meshtrail.wiring.audit_rules import make_rules
from meshtrail.wiring.comments import format_comment
from meshtrail.wiring.values import check_path, quote

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meshtrail.wiring.audit_rules import AuditRule
    from meshtrail.wiring.values import Endpoint

AuditPart = Literal["policy", "webhook"]

FOLDER: Final = "/etc/kubernetes/meshtrail"
PATH: Final = "/v1/records/kubernetes-audit"
_COLUMNS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditWiring:
    """What an API server has to know; paths as it sees them.

    Attributes:
        collector: the HTTP door of meshtrail.
        ca: who signs the certificate of the collector, PEM.
        cert: the API server's own chain, PEM; None where it shows a token.
        key: its private key, PEM.
        token: file with a token of ``meshtrail keys token``, in place of the certificate.

    Raises:
        ConfigError: a path cannot stand, or it would be known by both or neither.
    """

    collector: Endpoint
    ca: str = f"{FOLDER}/ca.crt"
    cert: str | None = f"{FOLDER}/tls.crt"
    key: str | None = f"{FOLDER}/tls.key"
    token: str | None = None

    def __post_init__(self) -> None:
        """Refuse what could not work."""
        is_by_certificate = self.cert is not None and self.key is not None
        if is_by_certificate is (self.token is not None) or (self.cert is None) != (
            self.key is None
        ):
            raise ConfigError(
                "the API server is known by a certificate or by a token: give --cert and --key, or "
                "--token-file"
            )
        options = {"--ca": self.ca, "--cert": self.cert, "--key": self.key}
        for option, path in {**options, "--token-file": self.token}.items():
            if path is not None:
                check_path(path, option=option)


def format_kubernetes_audit(wiring: AuditWiring, *, part: AuditPart | None = None) -> str:
    """The configuration as YAML documents, each a file.

    Args:
        wiring: what the API server has to know.
        part: only the policy, or only the kubeconfig of the webhook; None for both.
    """
    documents = {
        "policy": [_format_policy()],
        "webhook": [_format_webhook(wiring)],
        None: [_format_policy(), _format_webhook(wiring)],
    }[part]
    return f"{_format_head(wiring)}---\n" + "---\n".join(documents)


def _format_head(wiring: AuditWiring) -> str:
    about = format_comment(
        f"What a kube-apiserver needs to report to meshtrail at {wiring.collector.format()}, "
        "made by `meshtrail emit-config kubernetes-audit`. The first document is the audit "
        "policy, the second a kubeconfig that says where to. Each goes into a file that "
        "kube-apiserver can read, and these flags name them:"
    )
    return f"""\
{about}#
#   --audit-policy-file={FOLDER}/policy.yaml
#   --audit-webhook-config-file={FOLDER}/webhook.yaml
#   --audit-webhook-mode=batch
#   --audit-webhook-batch-buffer-size=50000
#   --audit-webhook-truncate-enabled=true
#   --audit-webhook-truncate-max-event-size=1048576
#   --audit-log-path=/var/log/kubernetes/audit.log
#   --audit-log-maxsize=100
#   --audit-log-maxbackup=20
#
{_format_costs()}"""


def _format_costs() -> str:
    return format_comment(
        "batch sends within 30 s, after the answer to the client. What does not fit the buffer is "
        "dropped and counted (apiserver_audit_error_total): 50,000 events of 5 kB are 250 MB of "
        "memory. An API server that crashes loses them. blocking loses nothing, but every call "
        "waits until meshtrail has it on disk; blocking-strict refuses calls while meshtrail is "
        "away: the cluster then stands still. The log file beside the webhook keeps what the "
        "webhook loses, and `meshtrail import kubernetes-audit` reads it.\n\n"
        "What it still cannot say: what was typed in a session, what an object was before a "
        "change, and which cluster this is, so give each API server a certificate or token of its "
        "own.\n\n"
        "Managed clusters take neither flag, and have a policy of their maker's. EKS: turn on the "
        "audit log (CloudWatch). AKS: diagnostic setting kube-audit. Ship either to the same "
        "path; meshtrail reads what they wrap around an event. GKE: Cloud Audit Logs are another "
        "format, which is not read."
    )


def _format_policy() -> str:
    head = format_comment(
        f"{FOLDER}/policy.yaml: the first rule that fits a call decides. A change of it counts "
        "from the next start of kube-apiserver."
    )
    rules = "\n".join(_format_rule(rule) for rule in make_rules())
    return f"""\
{head}apiVersion: audit.k8s.io/v1
kind: Policy
# Who owns which field is a third of many objects, and says nothing that governs.
omitManagedFields: true
# A call is logged as it ends. A session is logged as it begins, too, for it may last.
omitStages: [RequestReceived]
rules:
{rules}"""


def _format_rule(rule: AuditRule) -> str:
    lines = [f"- level: {rule.level}\n"]
    lines += [_format_list(name, words, "  ") for name, words in _conditions(rule)]
    if rule.groups:
        lines.append("  resources:\n")
    lines += [_format_group(*group, names=rule.names) for group in rule.groups]
    return format_comment(rule.why) + "".join(lines)


def _format_group(group: str, resources: tuple[str, ...], *, names: tuple[str, ...]) -> str:
    """An API group in one line, or in several where that is too long."""
    asked = {
        name: words for name, words in (("resources", resources), ("resourceNames", names)) if words
    }
    flow = "".join(f", {name}: {_flow(words)}" for name, words in asked.items())
    line = f"  - {{group: {quote(group)}{flow}}}\n"
    if len(line) <= _COLUMNS:
        return line
    lists = "".join(_format_list(name, words, "    ") for name, words in asked.items())
    return f"  - group: {quote(group)}\n{lists}"


def _flow(words: tuple[str, ...]) -> str:
    return f"[{', '.join(quote(word) for word in words)}]"


def _conditions(rule: AuditRule) -> Iterable[tuple[str, tuple[str, ...]]]:
    named = (("users", rule.users), ("userGroups", rule.user_groups), ("verbs", rule.verbs))
    return ((name, words) for name, words in named if words)


def _format_list(name: str, words: tuple[str, ...], indent: str) -> str:
    """A list in one line, or a line for each where that is too long."""
    line = f"{indent}{name}: {_flow(words)}\n"
    if len(line) <= _COLUMNS:
        return line
    return f"{indent}{name}:\n" + "".join(f"{indent}- {quote(word)}\n" for word in words)


def _format_webhook(wiring: AuditWiring) -> str:
    head = format_comment(
        f"{FOLDER}/webhook.yaml: kube-apiserver asks the node's DNS, not the cluster's. Where that "
        "does not know the Service, give the ClusterIP or a name outside the cluster as --address; "
        "the certificate must name it."
    )
    if wiring.token is not None:
        user = f"""\
    # Made with `meshtrail keys token NAME --source kubernetes-audit --reporter '*'`: it claims no
    # name. kube-apiserver reads the file again when it changes.
    tokenFile: {quote(wiring.token)}
"""
    else:
        user = f"""\
    # Whose SPIFFE ID, or fingerprint, tells this cluster from others.
    client-certificate: {quote(wiring.cert or "")}
    client-key: {quote(wiring.key or "")}
"""
    return f"""\
{head}apiVersion: v1
kind: Config
clusters:
- name: meshtrail
  cluster:
    server: {quote(f"https://{wiring.collector.format()}{PATH}")}
    certificate-authority: {quote(wiring.ca)}
users:
- name: kube-apiserver
  user:
{user}contexts:
- name: meshtrail
  context:
    cluster: meshtrail
    user: kube-apiserver
current-context: meshtrail
"""
