"""TLS of the doors: its files, checked, and read again when they change.

Certificates of a mesh live for hours; a collector that is restarted for each would lose records.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, cast

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from meshtrail.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meshtrail.collect.diag import Diag

_Versions = tuple[tuple[int, int, int], ...]


class _ContextOfEach(ssl.SSLContext):
    """A server's context that takes another one for each connection.

    A TLS session lives in its context. Were that shared, a sender could go on with a session of
    before, hours after its certificate expired or its authority was taken out: in a resumed
    session no certificate is looked at. A context takes 2 ms, no more than the handshake.

    Attributes:
        renew: makes the context of the next connection.
    """

    renew: Callable[[], ssl.SSLContext]

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 - the standard library's signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin a connection."""
        return self.renew().wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class CertificateFiles:
    """The certificate chain and key of the server, and who signs the certificates of senders.

    Without the last, senders are asked for no certificate.

    Raises:
        ConfigError: a file cannot be read, or is not what it should be.
    """

    def __init__(self, *, chain: Path, key: Path, client_ca: Path | None, diag: Diag) -> None:
        self._chain = chain
        self._key = key
        self._client_ca = client_ca
        self._diag = diag
        self._versions = self._read_versions()
        self._first = self._read()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Credentials that verify a certificate of every sender, if it is known who signs them."""
        # The stubs do not know that None means "no change".
        fetch = cast("Callable[[], grpc.ServerCertificateConfiguration]", self.fetch_changed)
        return grpc.dynamic_ssl_server_credentials(
            self._first, fetch, require_client_authentication=self._client_ca is not None
        )

    def server_context(self, *, is_certificate_needed: bool) -> ssl.SSLContext:
        """The same for HTTP: a context that goes on to new certificates by itself.

        Args:
            is_certificate_needed: False takes senders without one, too, who have to show a token.
        """

        def make() -> ssl.SSLContext:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            # An encrypted key is refused; without a password the library would ask at a terminal.
            context.load_cert_chain(self._chain, self._key, password="")
            if self._client_ca is not None:
                context.load_verify_locations(self._client_ca)
                # What the file names is trusted, also where it is no root; so it is by gRPC.
                context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
                needed = ssl.CERT_REQUIRED if is_certificate_needed else ssl.CERT_OPTIONAL
                context.verify_mode = needed
            return context

        current = make()

        def renew() -> ssl.SSLContext:
            nonlocal current
            self.fetch_changed()
            # Where the files are bad now, or change at this moment, the last that were good serve.
            with contextlib.suppress(OSError):
                current = make()
            return current

        context = _ContextOfEach(ssl.PROTOCOL_TLS_SERVER)
        context.renew = renew
        return context

    def fetch_changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What to go on with, or None when nothing changed. gRPC asks before each handshake.

        Bad files change nothing: the certificates in use stay, and an alarm says why.
        """
        try:
            versions = self._read_versions()
            if versions == self._versions:
                return None
            self._versions = versions
            changed = self._read()
        except ConfigError as error:
            self._diag.error("certificates_refused", reason=error.message)
            return None
        self._diag.info("certificates_read", chain=str(self._chain))
        return changed

    def _read_versions(self) -> _Versions:
        versions = []
        for path in filter(None, (self._chain, self._key, self._client_ca)):
            try:
                status = path.stat()
            except OSError as error:
                raise ConfigError(f"{path}: {error.strerror}", path=path) from error
            versions.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return tuple(versions)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        chain, key = _read_file(self._chain), _read_file(self._key)
        certificate = _load_certificates(chain, self._chain)[0]
        client_ca = None
        if self._client_ca is not None:
            client_ca = _read_file(self._client_ca)
            _load_certificates(client_ca, self._client_ca)
        try:
            private_key = load_pem_private_key(key, password=None)
        except (ValueError, TypeError) as error:
            # Not the library's text: an error about a key must not repeat any of it.
            raise ConfigError(
                f"{self._key} is not an unencrypted private key in PEM", path=self._key
            ) from error
        if private_key.public_key() != certificate.public_key():
            raise ConfigError(
                f"{self._key} is not the key of the certificate in {self._chain}", path=self._key
            )
        return grpc.ssl_server_certificate_configuration([(key, chain)], client_ca)


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", path=path) from error


def _load_certificates(pem: bytes, path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ConfigError(f"{path} holds no certificate in PEM: {error}", path=path) from error
