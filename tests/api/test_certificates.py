import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import (
    CertificateBuilder,
    Name,
    NameAttribute,
    load_pem_x509_certificates,
    random_serial_number,
)
from cryptography.x509.oid import NameOID
from support.security import Certificates

from service.api.certificates import read_expiry


def test_the_end_of_a_chain_is_that_of_the_certificate_that_ends_first(tmp_path: Path) -> None:
    """The expiry is the earliest in the file, as another reader of certificates gives it."""
    chain, _ = Certificates(tmp_path / "tls").issue("server")
    ends = [
        each.not_valid_after_utc.timestamp()
        for each in load_pem_x509_certificates(chain.read_bytes())
    ]
    assert min(ends) == read_expiry(chain)


def test_late_ends_are_read(tmp_path: Path) -> None:
    """Ends from 2050 on, which certificates write in another form, are read, too."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = Name([NameAttribute(NameOID.COMMON_NAME, "akin")])
    end = datetime(2061, 2, 3, 4, 5, 6, tzinfo=UTC)
    certificate = (
        CertificateBuilder(name, name, key.public_key(), random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(end)
        .sign(key, SHA256())
    )
    (tmp_path / "late.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    assert end.timestamp() == read_expiry(tmp_path / "late.pem")


@pytest.mark.parametrize("text", ["", "no PEM", ssl.DER_cert_to_PEM_cert(b"\x30\x03\x02\x01\x05")])
def test_other_files_are_errors(tmp_path: Path, text: str) -> None:
    """A file without a certificate, or with a damaged one, has no expiry."""
    (tmp_path / "chain.pem").write_text(text)
    with pytest.raises(ValueError, match="certificate"):
        read_expiry(tmp_path / "chain.pem")
