"""TLS of the HTTP listeners, with certificates that are read again when their files change."""

from __future__ import annotations

import ssl

from service.api.tls import CertificateSource, TlsFiles, make_ssl_context

PROTOCOLS = ["http/1.1"]


def make_tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that follows the files; a CA bundle makes client certificates required.

    Each new connection uses the present certificate. If the files cannot be used, the log says so
    and the previous certificate stays in use.

    Raises:
        TlsUnusable: the files cannot be used.
    """
    source = CertificateSource(files, _make_context)
    current = source.load()

    def choose(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        nonlocal current
        # OpenSSL calls this for each connection, also for those whose clients name no server.
        current = source.load_if_changed() or current
        connection.context = current

    current.sni_callback = choose
    return current


def _make_context(files: TlsFiles) -> ssl.SSLContext:
    context = make_ssl_context(files)
    context.set_alpn_protocols(PROTOCOLS)
    if files.client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
