"""When certificates end."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

# Tags of DER, the encoding of certificates, and the times of each kind.
_VERSION = 0xA0
_TIME_FORMATS = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}

# From this bit on, the first byte of a length is the number of bytes that the length takes.
_LONG_LENGTH = 0x80


def read_expiry(path: Path) -> float:
    """Return when the first of the certificates in a PEM file ends, as Unix time in seconds.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has no certificate, or a damaged one.
    """
    certificates = _PEM.findall(path.read_text())
    if not certificates:
        raise ValueError(f"{path} has no certificate")
    return min(_read_end(ssl.PEM_cert_to_DER_cert(each)) for each in certificates)


def _read_end(certificate: bytes) -> float:
    """Return the end of a certificate's validity (RFC 5280, 4.1)."""
    try:
        _, signed = next(_read_values(next(_read_values(certificate))[1]))
        fields = [field for field in _read_values(signed) if field[0] != _VERSION]
        # After the serial number, the algorithm and the issuer.
        _, (tag, text) = _read_values(fields[3][1])
        moment = datetime.strptime(text.decode("ascii"), _TIME_FORMATS[tag])  # noqa: DTZ007
    except (IndexError, KeyError, StopIteration) as exc:
        raise ValueError("the certificate is damaged") from exc
    return moment.replace(tzinfo=UTC).timestamp()


def _read_values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the contents of each value in DER."""
    position = 0
    while position < len(der):
        tag, length = der[position], der[position + 1]
        position += 2
        if length & _LONG_LENGTH:
            size = length - _LONG_LENGTH
            length = int.from_bytes(der[position : position + size])
            position += size
        yield tag, der[position : position + length]
        position += length
