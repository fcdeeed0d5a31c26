from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from meshtrail.collect.credentials import CertificateFiles
from meshtrail.demo.authority import Authority
from meshtrail.errors import ConfigError
from tests.collect_rig import FakeDiag

if TYPE_CHECKING:
    from pathlib import Path


class Scene:
    """Good files of a server, to be spoiled."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.identity = self.authority.issue("ns/mesh/sa/collector", is_named_localhost=True)
        self.diag = FakeDiag()

    def files(self) -> CertificateFiles:
        return CertificateFiles(
            chain=self.identity.chain,
            key=self.identity.key,
            client_ca=self.authority.bundle,
            diag=self.diag,
        )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_good_files_make_credentials(scene: Scene) -> None:
    assert isinstance(scene.files().server_credentials(), grpc.ServerCredentials)


def test_credentials_without_a_client_ca_need_two_files_only(scene: Scene) -> None:
    scene.authority.bundle.unlink()
    files = CertificateFiles(
        chain=scene.identity.chain, key=scene.identity.key, client_ca=None, diag=scene.diag
    )
    assert isinstance(files.server_credentials(), grpc.ServerCredentials)
    renew(scene)
    assert files.fetch_changed() is not None


@pytest.mark.parametrize("which", ["chain", "key", "bundle"])
def test_missing_file_is_refused_by_its_name(scene: Scene, which: str) -> None:
    path = scene.authority.bundle if which == "bundle" else getattr(scene.identity, which)
    path.unlink()
    with pytest.raises(ConfigError, match=f"{path}: No such file"):
        scene.files()


@pytest.mark.parametrize("which", ["chain", "bundle"])
def test_file_that_holds_no_certificate_is_refused(scene: Scene, which: str) -> None:
    path = scene.authority.bundle if which == "bundle" else scene.identity.chain
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=f"{path} holds no certificate"):
        scene.files()


def test_file_that_holds_no_key_is_refused_without_repeating_any_of_it(scene: Scene) -> None:
    scene.identity.key.write_text(scene.identity.key.read_text().replace("M", "SECRET", 1))
    with pytest.raises(ConfigError, match="is not an unencrypted private key") as caught:
        scene.files()
    assert "SECRET" not in str(caught.value)


def test_key_of_another_certificate_is_refused(scene: Scene) -> None:
    other = scene.authority.issue("ns/mesh/sa/other")
    scene.identity.key.write_bytes(other.key.read_bytes())
    with pytest.raises(ConfigError, match="is not the key of the certificate"):
        scene.files()


def renew(scene: Scene) -> None:
    other = scene.authority.issue("ns/mesh/sa/collector", is_named_localhost=True)
    scene.identity.chain.write_bytes(other.chain.read_bytes())
    scene.identity.key.write_bytes(other.key.read_bytes())


def test_changed_files_are_read_once(scene: Scene) -> None:
    files = scene.files()
    assert files.fetch_changed() is None
    renew(scene)
    assert files.fetch_changed() is not None
    assert files.fetch_changed() is None
    assert scene.diag.facts("certificates_read") == {"chain": str(scene.identity.chain)}


def test_changed_files_that_are_bad_change_nothing_and_ring(scene: Scene) -> None:
    files = scene.files()
    scene.identity.chain.write_text("half written")
    assert files.fetch_changed() is None
    assert scene.diag.alarms() == ["certificates_refused"]
    assert files.fetch_changed() is None
    assert scene.diag.alarms() == ["certificates_refused"]
    renew(scene)
    assert files.fetch_changed() is not None
