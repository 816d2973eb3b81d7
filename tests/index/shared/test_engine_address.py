import pytest
from pydantic import ValidationError

from service.index.shared.engine_address import EngineAddress, parse_engine_url
from service.settings import Settings


@pytest.mark.parametrize(
    ("url", "target", "port", "authority", "tls"),
    [
        ("http://qdrant:6334", "dns:///qdrant", 6334, "qdrant:6334", False),
        ("https://q.example.com:443", "dns:///q.example.com", 443, "q.example.com:443", True),
        ("http://10.0.0.1:6334", "dns:///10.0.0.1", 6334, "10.0.0.1:6334", False),
        (
            "http://10.0.0.1:6334,10.0.0.2:6335,10.0.0.3:1",
            "ipv4:10.0.0.1:6334,10.0.0.2:6335,10.0.0.3",
            1,
            "10.0.0.1:6334",
            False,
        ),
    ],
)
def test_an_address_has_all_hosts(
    url: str, target: str, port: int, authority: str, *, tls: bool
) -> None:
    """One host is looked up in DNS, and several addresses are one target; TLS needs https."""
    assert EngineAddress(target, port, authority, tls, "key") == parse_engine_url(url, "key")


@pytest.mark.parametrize(
    "url",
    ["", "http://qdrant:6334", "https://a-b.c_d:1", "http://10.0.0.1:6334,10.0.0.2:6334"],
)
def test_valid_urls_are_accepted(url: str) -> None:
    """Hosts with ports are valid, one or several, and so is no engine at all."""
    assert url == Settings(qdrant_url=url).qdrant_url


@pytest.mark.parametrize(
    "url",
    [
        *("qdrant:6334", "http://qdrant", "grpc://qdrant:6334", "http://qdrant:6334/path", " "),
        *("http://a:1,", "http://,a:1", "http://a:1,b", "http://a:1 ,b:2", "http://u:p@a:1"),
        *("http://a:1\n", "http://a:x", "http://é:1", "http://[::1]:6334", "http://a:123456"),
        *("http://a:1,b:2", "http://10.0.0.1:1,b:2", "http://a:65536"),
    ],
)
def test_invalid_urls_are_rejected(url: str) -> None:
    """Each host needs a port, and nothing else is part of the URL."""
    with pytest.raises(ValidationError, match=r"must have (the form http://host:port|ports)"):
        Settings(qdrant_url=url)
