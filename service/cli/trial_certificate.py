"""`akin tls`: creates a certificate for trying TLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from service.cli import console, options
from service.extras import describe_installation
from service.files import create_file, create_folder

# Long enough for trying, and short enough that nobody relies on the files.
VALID_DAYS = 90

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

_AUTHORITY, _CERTIFICATE, _KEY = "ca.pem", "server.pem", "server.key"


def create_certificate(
    folder: Annotated[
        Path, typer.Argument(file_okay=False, help="Folder for the files; created if necessary.")
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(
            help="Further host name or IP address of the server. Repeatable. Default: only "
            f"{', '.join(_LOCAL_NAMES)}."
        ),
    ] = None,
) -> None:
    """Create a certificate authority and a certificate of a server, for trying TLS.

    The key of the authority is not stored, so that nobody can issue further certificates. Use
    certificates of your own authority in production.
    """
    folder = options.expand_user(folder)
    names = list(dict.fromkeys([*_LOCAL_NAMES, *(name or ())]))
    end = datetime.now(UTC) + timedelta(days=VALID_DAYS)
    files = _issue(names, end)
    try:
        create_folder(folder)
        _create_files({folder / file: content for file, content in files.items()})
    except OSError as exc:
        place = exc.filename or folder
        console.exit_with_error(f"{place}: {exc.strerror or exc}", command="akin tls")
    _print_use(folder, names, end)


def _issue(names: Sequence[str], end: datetime) -> dict[str, bytes]:
    """Return the contents of the files; exit with status 2 if a name cannot be certified."""
    try:
        import trustme  # noqa: PLC0415  (an extra)
    except ImportError as exc:
        console.exit_with_error(
            f"trustme is required: {describe_installation('tls')} ({exc})",
            command="akin tls",
            status=2,
        )
    authority = trustme.CA(organization_name="Akin, for trying TLS")
    try:
        issued = authority.issue_cert(
            *names, organization_name="Akin, for trying TLS", not_after=end
        )
    except ValueError as exc:
        console.exit_with_error(
            f"--name: {', '.join(names[len(_LOCAL_NAMES) :])}: {exc}", command="akin tls", status=2
        )
    return {
        _AUTHORITY: authority.cert_pem.bytes(),
        _CERTIFICATE: b"".join(blob.bytes() for blob in issued.cert_chain_pems),
        _KEY: issued.private_key_pem.bytes(),
    }


def _create_files(contents: Mapping[Path, bytes]) -> None:
    """Create private files, all or none.

    Raises:
        OSError: a file exists already, or cannot be written.
    """
    created: list[Path] = []
    try:
        for path, content in contents.items():
            create_file(path)
            created.append(path)
            path.write_bytes(content)
    except BaseException:
        for path in created:
            with suppress(OSError):
                path.unlink()
        raise


def _print_use(folder: Path, names: Sequence[str], end: datetime) -> None:
    certificate, key = folder / _CERTIFICATE, folder / _KEY
    for line in (
        f"certificate for {', '.join(names)}, valid until {end:%Y-%m-%d}; for trying only",
        f"server: AKIN_TLS_CERTIFICATE={certificate} AKIN_TLS_KEY={key} akin serve",
        f"client: akin status --tls-ca {folder / _AUTHORITY}",
    ):
        console.print_line(line)
