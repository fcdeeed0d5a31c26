from __future__ import annotations

from typing import Any

import pytest
import yaml

from meshtrail.errors import ConfigError
from meshtrail.wiring import FileIdentity, SdsIdentity, parse_endpoint
from meshtrail.wiring.identity import format_sds_files, format_transport_socket
from tests.unit.wiring.wirings import CA, CERT, COLLECTOR, ELSEWHERE, FILES, KEY, LOOPBACK


def tls_context(
    identity: FileIdentity | SdsIdentity, *, address: str = "trail:1", peer: str | None = None
) -> dict[str, Any]:
    text = format_transport_socket(identity, collector=parse_endpoint(address), spiffe_id=peer)
    config: dict[str, Any] = yaml.safe_load(text)["transport_socket"]["typed_config"]
    return config


@pytest.mark.parametrize(
    ("address", "peer", "matched"),
    [
        ("trail.example.com:1", COLLECTOR, ("URI", COLLECTOR)),
        ("10.0.0.7:1", COLLECTOR, ("URI", COLLECTOR)),
        ("trail.example.com:1", None, ("DNS", "trail.example.com")),
        ("10.0.0.7:1", None, ("IP_ADDRESS", "10.0.0.7")),
        ("[fd00::7]:1", None, ("IP_ADDRESS", "fd00::7")),
    ],
)
@pytest.mark.parametrize(
    "identity",
    [
        FILES,
        FileIdentity(cert=CERT, key=KEY, ca=CA, sds_dir="/sds"),
        SdsIdentity(cluster="spire_agent"),
    ],
    ids=["files", "sds-dir", "sds-cluster"],
)
def test_certificate_of_the_collector_is_always_held_against_a_name(
    identity: FileIdentity | SdsIdentity, address: str, peer: str | None, matched: tuple[str, str]
) -> None:
    common = tls_context(identity, address=address, peer=peer)["common_tls_context"]
    validation = common.get("validation_context")
    if validation is None:
        validation = common["combined_validation_context"]["default_validation_context"]
    assert validation["match_typed_subject_alt_names"] == [
        {"san_type": matched[0], "matcher": {"exact": matched[1]}}
    ]


def test_tls_is_what_the_grpc_door_speaks() -> None:
    common = tls_context(FILES)["common_tls_context"]
    assert common["alpn_protocols"] == ["h2"]
    assert common["tls_params"]["tls_maximum_protocol_version"] == "TLSv1_3"


def test_server_name_is_sent_where_there_is_one() -> None:
    assert tls_context(FILES, address="trail.example.com:1")["sni"] == "trail.example.com"
    assert "sni" not in tls_context(FILES, address="10.0.0.7:1")


def test_files_are_named_where_envoy_reads_them() -> None:
    common = tls_context(FILES)["common_tls_context"]
    assert common["tls_certificates"] == [
        {"certificate_chain": {"filename": CERT}, "private_key": {"filename": KEY}}
    ]
    assert common["validation_context"]["trusted_ca"] == {"filename": CA}
    assert format_sds_files(FILES) == []


def test_sds_files_hold_the_secrets_that_the_cluster_asks_them_for() -> None:
    identity = FileIdentity(cert=CERT, key=KEY, ca=CA, sds_dir="/sds")
    common = tls_context(identity)["common_tls_context"]
    [own] = common["tls_certificate_sds_secret_configs"]
    ca = common["combined_validation_context"]["validation_context_sds_secret_config"]
    texts = format_sds_files(identity)
    for asked, text in zip((own, ca), texts, strict=True):
        path = asked["sds_config"]["path_config_source"]["path"]
        assert text.startswith(f"# {path}\n")
        [secret] = yaml.safe_load(text)["resources"]
        assert secret["name"] == asked["name"]
    certificate = yaml.safe_load(texts[0])["resources"][0]["tls_certificate"]
    assert certificate["watched_directory"] == {"path": "/etc/envoy/tls"}
    validation = yaml.safe_load(texts[1])["resources"][0]["validation_context"]
    assert validation["watched_directory"] == {"path": "/etc/envoy/ca"}


def test_folder_of_a_file_at_the_root_is_the_root() -> None:
    [own, _] = format_sds_files(FileIdentity(cert="/c", key="/k", ca="/a", sds_dir="/sds"))
    certificate = yaml.safe_load(own)["resources"][0]["tls_certificate"]
    assert certificate["watched_directory"] == {"path": "/"}


def test_plaintext_says_what_it_costs() -> None:
    text = format_transport_socket(None, collector=LOOPBACK, spiffe_id=None)
    assert all(line.startswith("# ") for line in text.splitlines())
    assert "never attested" in text


def test_each_path_and_name_is_checked_under_its_own_option() -> None:
    for option in ("cert", "key", "ca", "sds_dir"):
        values = {"cert": CERT, "key": KEY, "ca": CA, "sds_dir": "/sds", option: "relative"}
        with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} "):
            FileIdentity(**values)
    for option in ("cluster", "cert", "ca"):
        with pytest.raises(ConfigError, match=f"--sds-{option} "):
            SdsIdentity(**{"cluster": "a", option: "a b"})
    assert ELSEWHERE.host
