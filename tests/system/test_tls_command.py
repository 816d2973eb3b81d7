"""`akin tls` and `akin key --append-to`, and a server that uses what they made."""

import os
from pathlib import Path

import pytest
from cryptography import x509
from support.command import run
from support.server import RunningServer

from service.cli.trial_certificate import VALID_DAYS


def test_a_server_runs_with_the_files(tmp_path: Path) -> None:
    """A server accepts the certificate and the key, and a command that trusts the authority."""
    folder, keys = tmp_path / "tls", tmp_path / "keys.json"
    done = run("tls", folder, "--name", "shop.internal", folder=tmp_path)
    assert 0 == done.status
    files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert {"ca.pem": 0o600, "server.pem": 0o600, "server.key": 0o600} == files
    key = run("key", "ann", "--scope", "read", "--append-to", keys, folder=tmp_path).stdout
    settings = {
        "TLS_CERTIFICATE": str(folder / "server.pem"),
        "TLS_KEY": str(folder / "server.key"),
        "API_KEYS": str(keys),
    }
    with RunningServer(tmp_path, **settings) as server:
        words = ("items", "list", "--address", server.address, "--tls-ca", folder / "ca.pem")
        variables = {"AKIN_API_KEY": key.decode().strip()}
        assert 0 == run(*words, folder=tmp_path, variables=variables).status
        without = run(*words, folder=tmp_path)
    assert "UNAUTHENTICATED" in without.error_lines[0]


def test_the_certificate_is_short_lived_and_has_the_names(tmp_path: Path) -> None:
    """The certificate names the local host and the given names, and ends after its days."""
    run("tls", tmp_path, "--name", "shop.internal", "--name", "10.0.0.7", folder=tmp_path)
    certificate = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert ["localhost", "shop.internal"] == names.get_values_for_type(x509.DNSName)
    addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
    assert ["127.0.0.1", "::1", "10.0.0.7"] == addresses
    until = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert until.days >= VALID_DAYS


@pytest.mark.parametrize("existing", ["ca.pem", "server.key"])
def test_no_file_is_overwritten(tmp_path: Path, existing: str) -> None:
    """If one of the files exists, the command creates none and names it."""
    folder = tmp_path / "tls"
    folder.mkdir()
    (folder / existing).write_text("mine")
    done = run("tls", folder, folder=tmp_path)
    assert (1, [f"akin tls: {folder / existing}: File exists"]) == (done.status, done.error_lines)
    assert ["mine"] == [path.read_text() for path in folder.iterdir()]


def test_an_invalid_name_is_named(tmp_path: Path) -> None:
    """A name that no certificate can have is a usage error."""
    done = run("tls", tmp_path / "tls", "--name", "a b", folder=tmp_path)
    assert 2 == done.status
    assert done.error_lines[0].startswith("akin tls: --name: a b: ")
    assert not (tmp_path / "tls").exists()


def test_trustme_is_an_extra(tmp_path: Path) -> None:
    """Without trustme, the command names the extra to install."""
    (tmp_path / "trustme.py").write_text("raise ModuleNotFoundError('not there')\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = run("tls", tmp_path / "tls", folder=tmp_path, variables={"PYTHONPATH": path})
    assert 2 == done.status
    assert "pip install '.[tls]' in a checkout" in done.error_lines[0]
