from pathlib import Path

import pytest
from structlog.testing import capture_logs
from support.security import entry, write_keys

from service import errors
from service.api.auth import CHECK_SECONDS, Access, KeyAuthorizer, Scope
from service.server import app
from service.settings import Settings

READ = Access(Scope.READ, "")


class Seconds:
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_rate_holds_on_average(tmp_path: Path) -> None:
    """A second's calls may come at once, and from then on as many as the rate says."""
    write_keys(tmp_path / "keys", entry("a", "read", calls_per_second=4), entry("b", "read"))
    clock = Seconds()
    keys = KeyAuthorizer(tmp_path / "keys", clock)
    made, waits = 0, []
    for tenth in range(100):
        clock.now = tenth / 10
        for _ in range(3):
            keys.charge("Bearer b-key", Scope.READ)
            try:
                keys.charge("Bearer a-key", Scope.READ)
                made += 1
            except errors.RateLimited as exc:
                waits.append(exc.retry_after_seconds or 0.0)
    assert 4 + 39 <= made <= 4 + 40
    assert 0 < min(waits) <= max(waits) <= 0.25


def test_the_queries_of_a_batch_are_paid_later(tmp_path: Path) -> None:
    """Further calls of one message are never refused, but delay the next call as calls would."""
    write_keys(tmp_path / "keys", entry("a", "read", calls_per_second=10), entry("b", "read"))
    clock = Seconds()
    keys = KeyAuthorizer(tmp_path / "keys", clock)
    keys.charge("Bearer a-key", Scope.READ)
    keys.charge_more("Bearer a-key", 99)
    keys.charge_more("Bearer b-key", 99)
    keys.charge("Bearer b-key", Scope.READ)
    with pytest.raises(errors.RateLimited) as raised:
        keys.charge("Bearer a-key", Scope.READ)
    # A second's 10 calls were allowed at once, and the other 90 take 9 s more.
    assert 9.1 == pytest.approx(raised.value.retry_after_seconds)
    clock.now = 9.11
    keys.charge("Bearer a-key", Scope.READ)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A key is good or not as the file says by now; one that cannot be read changes nothing."""
    path, clock = tmp_path / "keys", Seconds()
    write_keys(path, entry("a", "read"))
    keys = KeyAuthorizer(path, clock)
    assert "a" == keys.authenticate("Bearer a-key")
    write_keys(path, entry("b", "read"))
    clock.now += CHECK_SECONDS
    assert "b" == keys.authenticate("Bearer b-key")
    with pytest.raises(errors.Unauthenticated):
        keys.charge("Bearer a-key", Scope.READ)
    for damage in (lambda: path.write_text("nonsense"), path.unlink):
        damage()
        clock.now += CHECK_SECONDS
        assert "b" == keys.authenticate("Bearer b-key")
    # A file that cannot be read for now is looked at again, though it does not change.
    path.mkdir()
    clock.now += CHECK_SECONDS
    assert "b" == keys.authenticate("Bearer b-key")
    path.rmdir()
    write_keys(path)
    clock.now += CHECK_SECONDS
    with pytest.raises(errors.Unauthenticated):
        keys.charge("Bearer b-key", Scope.READ)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_any_case(tmp_path: Path, scheme: str) -> None:
    """The scheme before a key is compared without regard to case, and the key is not."""
    write_keys(tmp_path / "keys", entry("a", "read"))
    keys = KeyAuthorizer(tmp_path / "keys")
    assert "a" == keys.authenticate(f"{scheme} a-key")
    with pytest.raises(errors.Unauthenticated):
        keys.authenticate(f"{scheme} A-KEY")


@pytest.mark.parametrize("given", [None, "", "a-key", "Bearera-key", "Basic a-key", "Bearer "])
def test_only_a_bearer_is_known(tmp_path: Path, given: str | None) -> None:
    """A key is taken from `Bearer KEY` and from nothing else."""
    write_keys(tmp_path / "keys", entry("a", "read"))
    with pytest.raises(errors.Unauthenticated):
        KeyAuthorizer(tmp_path / "keys").charge(given, Scope.READ)


@pytest.mark.parametrize(
    ("listen", "given", "missing"),
    [
        ("127.0.0.1:1", {}, None),
        ("[::1]:1", {}, None),
        ("localhost:1", {}, None),
        ("0.0.0.0:1", {}, ["AKIN_TLS_CERTIFICATE", "AKIN_API_KEYS"]),
        ("[::]:1", {"tls_certificate": "c", "tls_key": "k"}, ["AKIN_API_KEYS"]),
        ("akin.example:1", {"api_keys": "k"}, ["AKIN_TLS_CERTIFICATE"]),
        ("0.0.0.0:1", {"api_keys": "k", "tls_certificate": "c", "tls_key": "k"}, None),
    ],
)
def test_an_unprotected_server_is_warned_of(
    listen: str, given: dict[str, str], missing: list[str] | None
) -> None:
    """A server that others can reach logs which of TLS and API keys are missing."""
    with capture_logs() as lines:
        app._warn_if_exposed(Settings(listen=listen, **given))  # type: ignore[arg-type]
    expected = [] if missing is None else [("exposed", [listen], missing)]
    assert expected == [(line["event"], line["addresses"], line["missing"]) for line in lines]


def test_the_warning_names_the_exposed_addresses() -> None:
    """Every address that others can reach is named, and no other one."""
    addresses = {"http_listen": "0.0.0.0:2", "console_listen": "akin.example:3"}
    with capture_logs() as lines:
        app._warn_if_exposed(Settings(listen="127.0.0.1:1", **addresses))  # type: ignore[arg-type]
    assert [list(addresses.values())] == [line["addresses"] for line in lines]
