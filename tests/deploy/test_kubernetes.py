"""The manifests are what the API server takes, and say what the code says."""

from __future__ import annotations

import http.server
import os
import shutil
import stat
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from meshtrail.app import up
from meshtrail.app.keys import read_key_file, write_key_file
from meshtrail.cli.up import make_up_parser
from meshtrail.config import make_configuration, read_tables
from meshtrail.errors import KeyFileError
from meshtrail.note import generate_signer
from meshtrail.wiring import IstioWiring, parse_endpoint
from tests.deploy.containerfile import read_instructions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshtrail.config import Configuration

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.29", "1.31", "1.33", "1.35", "1.37")
"""ReadWriteOncePod and unhealthyPodEvictionPolicy came with 1.29 and 1.31, or before."""

Manifest = dict[str, Any]


def read_manifests() -> list[Manifest]:
    """The resources of the kustomization, in its order."""
    found: list[Manifest] = []
    for name in kustomization()["resources"]:
        text = (FOLDER / name).read_text(encoding="utf-8")
        found += [document for document in yaml.safe_load_all(text) if document]
    return found


def kustomization() -> Manifest:
    read: Manifest = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
    return read


MANIFESTS = read_manifests()


def of_kind(kind: str) -> list[Manifest]:
    return [one for one in MANIFESTS if one["kind"] == kind]


@pytest.fixture
def pod() -> Manifest:
    [found] = of_kind("StatefulSet")
    spec: Manifest = found["spec"]["template"]["spec"]
    return spec


@pytest.fixture
def container(pod: Manifest) -> Manifest:
    [found] = pod["containers"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def configuration() -> Configuration:
    return make_configuration(
        read_tables(FOLDER / "meshtrail.toml"), overrides={}, folder=Path("/etc/meshtrail")
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_the_schema_of_its_api(version: str) -> None:
    for manifest in MANIFESTS:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_schemas_refuse_a_field_that_is_misspelt() -> None:
    # Else the test above would say nothing.
    [wrong] = [one for one in read_manifests() if one["kind"] == "StatefulSet"]
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 180
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_kustomization_takes_every_file_that_is_there() -> None:
    said = kustomization()
    named = {*said["resources"], "kustomization.yaml"}
    named |= {file for one in said["configMapGenerator"] for file in one["files"]}
    assert named == {path.name for path in FOLDER.iterdir()}
    assert {one["name"] for one in said["images"]} == {
        one["image"] for kind in of_kind("StatefulSet") for one in containers_of(kind)
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_what_the_files_say() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(FOLDER)], capture_output=True, text=True, check=True
    )
    built = [one for one in yaml.safe_load_all(done.stdout) if one]
    assert sorted(one["kind"] for one in built) == sorted(
        [*(one["kind"] for one in MANIFESTS), "ConfigMap"]
    )
    for manifest in built:
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def containers_of(stateful_set: Manifest) -> list[Manifest]:
    spec = stateful_set["spec"]["template"]["spec"]
    return [*spec["initContainers"], *spec["containers"]]


# ── security ───────────────────────────────────────────────────────────────────────────────────


def test_pod_keeps_to_the_restricted_profile(pod: Manifest) -> None:
    """Source: Kubernetes Pod Security Standards, restricted."""
    [namespace] = of_kind("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    of_pod = pod["securityContext"]
    assert of_pod["runAsNonRoot"]
    assert of_pod["runAsUser"] > 0
    assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in [*pod["initContainers"], *pod["containers"]]:
        own = one["securityContext"]
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert own["readOnlyRootFilesystem"]
        assert not own.get("privileged")
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    allowed = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected"}
    assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"])


def test_pod_has_no_token_for_the_api_server(pod: Manifest) -> None:
    assert pod["automountServiceAccountToken"] is False
    [account] = of_kind("ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["name"] == pod["serviceAccountName"]


def test_user_is_the_one_of_the_image(pod: Manifest) -> None:
    instructions = read_instructions(ROOT / "deploy" / "container" / "Containerfile")
    [user] = [one.rest for one in instructions if one.name == "USER"]
    context = pod["securityContext"]
    assert user == f"{context['runAsUser']}:{context['runAsGroup']}"


def test_nobody_but_the_mesh_gets_in_and_nothing_gets_out() -> None:
    [policy] = of_kind("NetworkPolicy")
    spec = policy["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["egress"] == []
    [rule] = spec["ingress"]
    assert [port["port"] for port in rule["ports"]] == ["grpc-als"]
    assert all(set(peer) == {"namespaceSelector"} for peer in rule["from"])


# ── what the code says ─────────────────────────────────────────────────────────────────────────


def test_arguments_and_options_are_taken(container: Manifest, configuration: Configuration) -> None:
    command, *arguments = container["args"]
    assert command == "up"
    parsed = make_up_parser().parse_args(arguments)
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert parsed.config == Path(mounts["options"], "meshtrail.toml")
    assert parsed.key.parent == Path(mounts["own-key"])
    assert configuration.collect.is_mtls
    for file in (
        configuration.collect.tls_cert,
        configuration.collect.tls_key,
        configuration.collect.tls_client_ca,
    ):
        assert file is not None
        assert file.parent == Path(mounts["grpc-tls"])


def test_ports_are_one_port(container: Manifest, configuration: Configuration) -> None:
    [port] = container["ports"]
    assert configuration.collect.grpc.endswith(f":{port['containerPort']}")
    for service in of_kind("Service"):
        [served] = service["spec"]["ports"]
        assert (served["targetPort"], served["port"]) == (port["name"], port["containerPort"])
        # By this Istio knows that the cluster is one of HTTP/2.
        assert served["appProtocol"] == "grpc"
        # A recorder that is behind is not ready, and still the only one that takes records.
        assert service["spec"]["publishNotReadyAddresses"]


def test_labels_select_the_pod() -> None:
    [stateful_set] = of_kind("StatefulSet")
    labels = stateful_set["spec"]["template"]["metadata"]["labels"]
    selectors = [
        stateful_set["spec"]["selector"]["matchLabels"],
        *(one["spec"]["selector"] for one in of_kind("Service")),
        *(one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy")),
        *(one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget")),
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    assert labels["sidecar.istio.io/inject"] == "false"


def test_emitted_istio_configuration_finds_the_service_and_knows_its_account() -> None:
    [namespace] = [one["metadata"]["name"] for one in of_kind("Namespace")]
    service = of_kind("Service")[0]
    [account] = [one["metadata"]["name"] for one in of_kind("ServiceAccount")]
    host = f"{service['metadata']['name']}.{namespace}.svc.cluster.local"
    port = service["spec"]["ports"][0]["port"]
    wiring = IstioWiring(collector=parse_endpoint(f"{host}:{port}"))
    assert wiring.peer == f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


def test_evidence_pins_and_lock_record_lie_on_volumes_and_apart(
    container: Manifest, configuration: Configuration
) -> None:
    [stateful_set] = of_kind("StatefulSet")
    claims = {one["metadata"]["name"] for one in stateful_set["spec"]["volumeClaimTemplates"]}
    mounts = {
        one["name"]: Path(one["mountPath"])
        for one in container["volumeMounts"]
        if one["name"] in claims
    }
    environment = {one["name"]: Path(one["value"]) for one in container["env"]}
    assert set(environment) == {"MESHTRAIL_DATA", "MESHTRAIL_HOME"}
    # A folder below the mount: at its top there may be a lost+found, and `up` refuses strangers.
    assert environment["MESHTRAIL_DATA"].parent == mounts["data"]
    assert environment["MESHTRAIL_HOME"].parent == mounts["lock-record"]
    assert configuration.seal.lock_record is not None
    assert configuration.seal.lock_record.parent == mounts["lock-record"]


def test_one_writer_has_time_to_stop_in_order(pod: Manifest) -> None:
    needed = (
        up.COLLECT_STOP_SECONDS_MAX
        + up.LEDGER_STOP_SECONDS_MAX
        + up.SEAL_STOP_SECONDS_MAX
        + up.SERVE_STOP_SECONDS_MAX
    )
    assert pod["terminationGracePeriodSeconds"] > needed
    [stateful_set] = of_kind("StatefulSet")
    assert stateful_set["spec"]["replicas"] == 1
    for claim in stateful_set["spec"]["volumeClaimTemplates"]:
        assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]


# ── the key ────────────────────────────────────────────────────────────────────────────────────


def test_key_as_kubernetes_mounts_it_is_refused_and_its_copy_is_taken(
    pod: Manifest, tmp_path: Path
) -> None:
    secret, own = tmp_path / "secret", tmp_path / "own"
    (secret / "..data").mkdir(parents=True)
    own.mkdir()
    real = secret / "..data" / "log.key"
    write_key_file(real, generate_signer("prod/eu-1/1f2e3d4c"))
    # What kubelet makes of defaultMode 0400 for a pod with an fsGroup: readable for the group.
    real.chmod(0o440)
    (secret / "log.key").symlink_to("..data/log.key")
    with pytest.raises(KeyFileError, match="0440"):
        read_key_file(secret / "log.key")
    [init] = pod["initContainers"]
    mounts = {one["mountPath"]: one["name"] for one in init["volumeMounts"]}
    folders = {"log-key": secret, "own-key": own}
    command = [
        str(folders[mounts[str(Path(word).parent)]] / Path(word).name)
        if str(Path(word).parent) in mounts
        else word
        for word in init["command"]
    ]
    # A pod that is started again finds the copy of before.
    for _ in range(2):
        subprocess.run(command, check=True)
        copy = own / "log.key"
        assert stat.S_IMODE(copy.stat().st_mode) == 0o400
        assert read_key_file(copy).name == "prod/eu-1/1f2e3d4c"
    [volume] = [one for one in pod["volumes"] if one["name"] == "own-key"]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_only_the_init_container_sees_the_secret_of_the_key(
    pod: Manifest, container: Manifest
) -> None:
    assert "log-key" not in {one["name"] for one in container["volumeMounts"]}
    [init] = pod["initContainers"]
    assert {one["name"] for one in init["volumeMounts"]} == {"log-key", "own-key"}


# ── probes ─────────────────────────────────────────────────────────────────────────────────────


class _Door(http.server.BaseHTTPRequestHandler):
    statuses: dict[str, int]

    def do_GET(self) -> None:
        self.send_response(self.statuses.get(self.path, 404))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Say nothing on standard error."""


@contextmanager
def door(statuses: dict[str, int]) -> Iterator[int]:
    """Something that answers HTTP with these statuses; yields its port."""
    handler = type("Door", (_Door,), {"statuses": statuses})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def run_probe(container: Manifest, name: str, port: int, shipped_port: str) -> int:
    """The exit status of a probe's own command, aimed at another port."""
    program, *arguments = container[name]["exec"]["command"]
    assert program == "/opt/meshtrail/venv/bin/python"
    assert shipped_port in arguments[-1]
    arguments[-1] = arguments[-1].replace(shipped_port, str(port))
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, env=dict(os.environ), check=False
    ).returncode


@pytest.mark.parametrize(
    ("name", "healthy", "ready", "succeeds"),
    [
        ("livenessProbe", 200, 503, True),
        ("livenessProbe", 503, 200, False),
        ("readinessProbe", 200, 200, True),
        ("readinessProbe", 200, 503, False),
        ("startupProbe", 200, 200, True),
        ("startupProbe", 200, 503, False),
    ],
)
def test_probe_asks_what_it_is_for(
    container: Manifest,
    configuration: Configuration,
    name: str,
    healthy: int,
    ready: int,
    *,
    succeeds: bool,
) -> None:
    shipped_port = configuration.serve.http.rpartition(":")[2]
    with door({"/healthz": healthy, "/readyz": ready}) as port:
        assert (run_probe(container, name, port, shipped_port) == 0) is succeeds


def test_probe_fails_where_nobody_answers(
    container: Manifest, configuration: Configuration
) -> None:
    shipped_port = configuration.serve.http.rpartition(":")[2]
    with door({}) as port:
        pass
    assert run_probe(container, "livenessProbe", port, shipped_port) != 0
