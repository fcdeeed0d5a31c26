from __future__ import annotations

import json
import re

import pytest
import yaml

from meshtrail.cli import exit_codes
from meshtrail.cli.emit_config import main
from meshtrail.cli.emit_config_options import make_emit_config_parser
from meshtrail.errors import ConfigError
from tests.unit.wiring.wirings import CA, CERT, COLLECTOR, KEY, TEXTS

FILES = ["--cert", CERT, "--key", KEY, "--ca", CA]
ELSEWHERE = ["--address", "trail.example.com:4317"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == exit_codes.OK
    return capsys.readouterr().out


def test_defaults_are_those_of_up_and_of_the_manifests(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "envoy") == TEXTS["envoy-plaintext"]
    for kind in ("istio", "ztunnel", "linkerd", "cilium", "consul", "kuma", "kubernetes-audit"):
        assert printed(capsys, kind) == TEXTS[kind]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("envoy-files", ["envoy", *ELSEWHERE, *FILES, "--collector-spiffe-id", COLLECTOR]),
        (
            "envoy-sds-dir",
            [
                *("envoy", *ELSEWHERE, *FILES, "--sds-dir", "/etc/envoy/sds", "--log-name", "shop"),
                *("--service-name", "payments.shop"),
            ],
        ),
        (
            "envoy-sds-cluster",
            ["envoy", "--address", "[fd00::7]:4317", "--sds-cluster", "spire_agent"],
        ),
        ("envoy-otlp", ["envoy", "--otlp"]),
        ("envoy-file", ["envoy", "--access-log-file", "/var/log/envoy/access.json"]),
        ("istio-otlp", ["istio", "--otlp"]),
        ("kuma-otlp", ["kuma", "--otlp", "--mesh", "shop", "--root-namespace", "kuma"]),
        ("consul-file", ["consul", "--access-log-file", "/var/log/envoy/access.json"]),
        (
            "kubernetes-audit-token",
            [
                *("kubernetes-audit", "--address", "10.0.0.7:4318"),
                *("--token-file", "/etc/meshtrail/token"),
            ],
        ),
        ("istio-outside", ["istio", *ELSEWHERE, "--collector-spiffe-id", COLLECTOR]),
    ],
)
def test_every_option_reaches_the_configuration(
    name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys, *arguments) == TEXTS[name]


def test_secrets_and_root_namespace_are_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--sds-cluster", "sds", "--sds-cert", "mine", "--sds-ca", "theirs"]
    text = printed(capsys, "envoy", *ELSEWHERE, *arguments)
    assert {'name: "mine"', 'name: "theirs"'} <= set(re.findall(r'name: "\w+"', text))
    assert 'namespace: "mesh"' in printed(capsys, "istio", "--root-namespace", "mesh")


def test_one_part_of_istio_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    only = list(yaml.safe_load_all(printed(capsys, "istio", "--only", "mesh-config")))
    assert [list(document) for document in only] == [["meshConfig"]]
    resources = yaml.safe_load_all(printed(capsys, "istio", "--only", "resources"))
    assert all(document["kind"] for document in resources)


@pytest.mark.parametrize(
    ("kind", "part", "key"),
    [
        ("linkerd", "values", "proxy"),
        ("linkerd", "annotations", "kind"),
        ("cilium", "values", "hubble"),
        ("cilium", "resources", "spec"),
        ("kubernetes-audit", "policy", "rules"),
        ("kubernetes-audit", "webhook", "users"),
    ],
)
def test_one_part_of_any_other_is_printed_alone(
    kind: str, part: str, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    [document] = filter(None, yaml.safe_load_all(printed(capsys, kind, "--only", part)))
    assert key in document


def test_where_it_counts_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("linkerd", "cilium"):
        assert '"shop"' in printed(capsys, kind, "--namespace", "shop")
    certificate = ["--cert", "/a.pem", "--key", "/b.pem", "--ca", "/c.pem"]
    text = printed(capsys, "kubernetes-audit", *certificate)
    for line in ('-certificate: "/a.pem"', '-key: "/b.pem"', '-authority: "/c.pem"'):
        assert line in text
    assert 'path: "/tmp/a.json"' in printed(capsys, "kuma", "--access-log-file", "/tmp/a.json")


def test_json_holds_the_yaml_and_what_it_was_made_of(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(printed(capsys, "envoy", "--json"))
    assert facts == {
        "for": "envoy",
        "address": "127.0.0.1:4317",
        "yaml": TEXTS["envoy-plaintext"],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["envoy", "--only", "resources"], "--only goes with istio"),
        (["istio", "--only", "values"], "of istio there is mesh-config or resources"),
        (["envoy", "--root-namespace", "a"], "--root-namespace goes with istio, kuma"),
        (["kuma", "--cert", CERT], "--cert goes with envoy, kubernetes-audit"),
        (["consul", "--otlp"], "--otlp goes with envoy, istio, kuma"),
        (["ztunnel", "--namespace", "a"], "--namespace goes with linkerd, cilium"),
        (["istio", "--mesh", "a"], "--mesh goes with kuma"),
        (["envoy", "--token-file", "/t"], "--token-file goes with kubernetes-audit"),
        (["linkerd", "--log-name", "a"], "--log-name goes with envoy, istio"),
        (["kuma", "--otlp", "--access-log-file", "/a"], "takes the place of --otlp"),
        (["kubernetes-audit", "--cert", CERT], "needs both of --cert and --key"),
        (["kubernetes-audit", "--token-file", "/t", *FILES[:4]], "takes the place of --cert"),
        (["istio", "--cert", CERT], "--cert goes with envoy"),
        (["istio", "--sds-cluster", "a"], "--sds-cluster goes with envoy"),
        (["envoy", "--cert", CERT], "mTLS needs all three"),
        (["envoy", "--sds-dir", "/sds"], "mTLS needs all three"),
        (["envoy", *FILES, "--sds-cluster", "a"], "--sds-cluster takes the place"),
        (["envoy", "--sds-ca", "a"], "--sds-ca goes with --sds-cluster"),
        (["istio", "--access-log-file", "/a"], "--access-log-file goes with envoy"),
        (["envoy", "--access-log-file", "/a", "--otlp"], "takes the place of --otlp"),
        (["nginx"], "invalid choice"),
        ([], "required"),
    ],
)
def test_options_that_make_no_sense_together_are_a_usage_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == exit_codes.USAGE
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["envoy", *ELSEWHERE],
        ["envoy", "--address", "trail"],
        ["envoy", *FILES, "--log-name", 'a"\nb: c'],
        ["istio", *ELSEWHERE],
        ["linkerd", "--namespace", "A"],
        ["kubernetes-audit", "--token-file", "token"],
        ["kuma", "--mesh", "a: b"],
        ["consul", "--access-log-file", "a b"],
    ],
)
def test_value_that_cannot_stand_is_a_configuration_error(arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        main(arguments)


def test_examples_of_the_help_print_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    text = make_emit_config_parser().format_help()
    examples = re.findall(r"^  meshtrail emit-config (.*?)(?: \|.*)?$", text, re.MULTILINE)
    assert len(examples) == 5
    for example in examples:
        assert list(yaml.safe_load_all(printed(capsys, *example.split())))
