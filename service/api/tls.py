"""TLS for the server, with certificates that are read again when their files change."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import grpc
import structlog

from service import errors


class TlsFiles(NamedTuple):
    """PEM files: the server's certificate with its chain, its key, and whose clients to trust."""

    certificate: Path
    key: Path
    client_authority: Path | None = None


def credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files; with a client authority, clients must show a certificate.

    Each new connection gets the certificate that is there by then. What cannot be used is told in
    the log, and the former one stays.

    Raises:
        TlsUnusable: the files cannot be used now.
    """
    follower = _Follower(files)
    made: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        follower.configuration(),
        follower.changed,  # type: ignore[arg-type]  # None, for no change, is documented
        require_client_authentication=files.client_authority is not None,
    )
    return made


class _Follower:
    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._problem = ""
        self._seen = self._version()

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The files as they are.

        Raises:
            TlsUnusable: they do not belong together, or cannot be read.
        """
        certificate, key, authority = self._files
        try:
            # gRPC itself would only refuse connections, without a word.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key, password=_no_password)
            if authority is not None:
                context.load_verify_locations(authority)
            return grpc.ssl_server_certificate_configuration(
                [(key.read_bytes(), certificate.read_bytes())],
                None if authority is None else authority.read_bytes(),
            )
        except (OSError, ValueError) as exc:
            raise errors.TlsUnusable(f"the TLS files cannot be used: {exc}") from exc

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """The configuration if it has changed; called by gRPC for each connection."""
        version = self._version()
        if version == self._seen:
            return None
        try:
            made = self.configuration()
        except errors.TlsUnusable as exc:
            # It is tried again: what forbids to read them may be mended without a change of them.
            if exc.message != self._problem:
                structlog.get_logger().error("certificate_not_read", problem=exc.message)
            self._problem = exc.message
            return None
        self._seen, self._problem = version, ""
        structlog.get_logger().info("certificate_read")
        return made

    def _version(self) -> list[tuple[int, int, int] | None]:
        return [_version(path) for path in self._files if path is not None]


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _no_password() -> str:
    raise ValueError("the key is encrypted")
