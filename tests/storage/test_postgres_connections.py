"""What connections to PostgreSQL are set to, and which addresses are accepted."""

from __future__ import annotations

from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from support.postgres import FAST, PostgresServer, database_of, query_database

from service import errors
from service.storage.moving.postgres_rows import connect_move, name_application
from service.storage.postgres.postgres_connections import complete_address, open_connection

pytestmark = pytest.mark.postgres

ADDRESS = "postgresql://akin@db-1,db-2/akin"

# The settings that the database sets in the tests, with the values that connections have.
LIMITS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "5s",
}


def parameters(address: str) -> dict[str, Any]:
    return conninfo_to_dict(complete_address(address))


def test_defaults_choose_the_server_that_accepts_writes() -> None:
    """Of several servers, connections go to the one that accepts writes, and give up soon."""
    chosen = parameters(ADDRESS)
    assert "read-write" == chosen["target_session_attrs"]
    assert "5" == chosen["connect_timeout"]
    assert "akin" == chosen["application_name"]


def test_the_address_goes_before_the_defaults() -> None:
    """An option of the address is kept."""
    chosen = parameters(f"{ADDRESS}?target_session_attrs=any&connect_timeout=17")
    assert ("any", "17") == (chosen["target_session_attrs"], chosen["connect_timeout"])


@pytest.mark.parametrize(
    ("variable", "parameter", "value"),
    [
        ("PGTARGETSESSIONATTRS", "target_session_attrs", "any"),
        ("PGCONNECT_TIMEOUT", "connect_timeout", "17"),
        ("PGAPPNAME", "application_name", "mine"),
    ],
)
def test_a_variable_of_libpq_goes_before_the_defaults(
    monkeypatch: pytest.MonkeyPatch, variable: str, parameter: str, value: str
) -> None:
    """A default applies only while its variable is unset; libpq reads the variable."""
    monkeypatch.setenv(variable, value)
    assert parameter not in parameters(ADDRESS)
    assert "tcp_user_timeout" in parameters(ADDRESS)


def test_a_service_goes_before_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections of a service have what its file sets, and no defaults of Akin."""
    address = conninfo_to_dict(database_of(tmp_path))
    lines = [f"{name}={value}" for name, value in address.items()]
    (tmp_path / "services").write_text("\n".join(["[shop]", *lines, "application_name=theirs"]))
    monkeypatch.setenv("PGSERVICEFILE", str(tmp_path / "services"))
    query = "SELECT current_setting('application_name'), current_database()"
    expected = ("theirs", address["dbname"])
    with closing(open_connection(complete_address("postgresql://?service=shop"))) as connection:
        assert expected == connection.execute(query).fetchone()
    monkeypatch.setenv("PGSERVICE", "shop")
    with closing(open_connection(complete_address("postgresql://"))) as connection:
        assert expected == connection.execute(query).fetchone()


def read_limits(connection: psycopg.Connection[Any]) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, current_setting(name) FROM pg_settings WHERE name LIKE '%timeout%'"
    )
    limits = dict(rows.fetchall())
    assert limits.get("transaction_timeout", "0") == "0"
    return {name: limits[name] for name in LIMITS}


def test_limits_of_the_database_do_not_apply(tmp_path: Path) -> None:
    """Connections of servers and moves set their own limits of time."""
    address = database_of(tmp_path)
    name = conninfo_to_dict(address)["dbname"]
    for setting in LIMITS:
        query_database(tmp_path, f"ALTER DATABASE {name} SET {setting} = '70s'")
    with closing(psycopg.connect(address)) as connection:
        assert {"70s"} == {*read_limits(connection).values()}
    with closing(open_connection(complete_address(address))) as connection:
        assert LIMITS == read_limits(connection)
    with closing(connect_move(name_application(address))) as connection:
        assert {**LIMITS, "idle_in_transaction_session_timeout": "0"} == read_limits(connection)


@pytest.mark.parametrize(
    "password", ["se@cret", "secret@", "@secret", "se/cret", "se@cr/et", "a:se/cret", "se:cr/et"]
)
def test_a_password_that_is_not_encoded_is_refused(password: str) -> None:
    """A part of the password that looks like a host or a port is shown in no message."""
    with pytest.raises(errors.StoreUnavailable, match="percent-encode") as caught:
        complete_address(f"postgresql://akin:{password}@127.0.0.1/akin")
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "db-1:5432,db-2", "[::1]:5433", "%2Frun%2Fpostgresql", ""]
)
def test_an_encoded_password_is_accepted(host: str) -> None:
    """With every special character encoded, any password can be in the address."""
    chosen = parameters(f"postgresql://akin:%40%3A%2F%3F%23%25@{host}/akin")
    assert "@:/?#%" == chosen["password"]


@pytest.mark.slow
def test_a_standby_is_passed_over() -> None:
    """Of a standby and its primary, connections go to the primary whatever their order is."""
    primary = PostgresServer({**FAST, "wal_level": "replica"})
    standby: PostgresServer | None = None
    try:
        standby = PostgresServer(FAST, source=f"host={primary.folder} user=akin")
        for hosts in permutations((standby.folder, primary.folder)):
            address = f"postgresql://akin@/postgres?host={','.join(map(str, hosts))}"
            with closing(open_connection(complete_address(address))) as connection:
                assert (False,) == connection.execute("SELECT pg_is_in_recovery()").fetchone()
    finally:
        for server in (standby, primary):
            if server is not None:
                server.stop()
