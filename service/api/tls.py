"""TLS of the server, with certificates that are read again when their files change."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import grpc
import structlog

from service import errors


class TlsFiles(NamedTuple):
    """PEM files: certificate chain and key of the server, and CA bundle for client certificates."""

    certificate: Path
    key: Path
    client_authority: Path | None = None


def load_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Return credentials that follow the files; a CA bundle makes client certificates required.

    Each new connection uses the present certificate. If the files cannot be used, the log says so
    and the previous certificate stays in use.

    Raises:
        TlsUnusable: the files cannot be used.
    """
    source = _CertificateSource(files)
    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        source.load(),
        source.load_if_changed,  # type: ignore[arg-type]  # None, for no change, is documented
        require_client_authentication=files.client_authority is not None,
    )
    return credentials


class _CertificateSource:
    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._problem = ""
        self._version = self._read_version()

    def load(self) -> grpc.ServerCertificateConfiguration:
        """Return the configuration in the files.

        Raises:
            TlsUnusable: they cannot be read, or do not belong together.
        """
        certificate, key, authority = self._files
        try:
            # gRPC itself would refuse connections without an error message.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key, password=_refuse_password)
            if authority is not None:
                context.load_verify_locations(authority)
            return grpc.ssl_server_certificate_configuration(
                [(key.read_bytes(), certificate.read_bytes())],
                None if authority is None else authority.read_bytes(),
            )
        except (OSError, ValueError) as exc:
            names = ", ".join(str(path) for path in self._files if path is not None)
            raise errors.TlsUnusable(f"the TLS files cannot be used: {names}: {exc}") from exc

    def load_if_changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration if it has changed; gRPC calls this for each connection."""
        version = self._read_version()
        if version == self._version:
            return None
        try:
            configuration = self.load()
        except errors.TlsUnusable as exc:
            # It is tried again: permissions can change without a change of the files.
            if exc.message != self._problem:
                structlog.get_logger().error("certificate_not_read", problem=exc.message)
            self._problem = exc.message
            return None
        self._version, self._problem = version, ""
        structlog.get_logger().info("certificate_read")
        return configuration

    def _read_version(self) -> list[tuple[int, int, int] | None]:
        return [_read_file_version(path) for path in self._files if path is not None]


def _read_file_version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _refuse_password() -> str:
    raise ValueError("the key is encrypted")
