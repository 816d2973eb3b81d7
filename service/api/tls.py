"""TLS of the server, with certificates that are read again when their files change."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import grpc
import structlog

from service import errors

Configuration = TypeVar("Configuration")


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
    source = CertificateSource(files, _make_configuration)
    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        source.load(),
        source.load_if_changed,  # type: ignore[arg-type]  # None, for no change, is documented
        require_client_authentication=files.client_authority is not None,
    )
    return credentials


def make_ssl_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context of the standard library with the certificates in the files.

    Raises:
        OSError, ValueError: they cannot be read, or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key, password=_refuse_password)
    if files.client_authority is not None:
        context.load_verify_locations(files.client_authority)
    return context


def _make_configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    # gRPC itself would refuse connections without an error message.
    make_ssl_context(files)
    authority = files.client_authority
    return grpc.ssl_server_certificate_configuration(
        [(files.key.read_bytes(), files.certificate.read_bytes())],
        None if authority is None else authority.read_bytes(),
    )


class CertificateSource(Generic[Configuration]):
    """Makes a configuration of TLS of files, and again when they change.

    Args:
        files: the files.
        make: makes the configuration, or raises OSError or ValueError.
    """

    def __init__(self, files: TlsFiles, make: Callable[[TlsFiles], Configuration]) -> None:
        self._files = files
        self._make = make
        self._problem = ""
        self._version = self._read_version()

    def load(self) -> Configuration:
        """Return the configuration in the files.

        Raises:
            TlsUnusable: they cannot be read, or do not belong together.
        """
        try:
            return self._make(self._files)
        except (OSError, ValueError) as exc:
            names = ", ".join(str(path) for path in self._files if path is not None)
            raise errors.TlsUnusable(f"the TLS files cannot be used: {names}: {exc}") from exc

    def load_if_changed(self) -> Configuration | None:
        """Return the configuration if it has changed; this is called for each connection."""
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
