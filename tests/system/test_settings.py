from pathlib import Path

import akin
import pytest
from pydantic import ValidationError
from support.server import RunningServer

from service.settings import Settings, list_variables


def test_an_empty_variable_is_unset(tmp_path: Path) -> None:
    """A server whose settings are all empty variables runs with the defaults."""
    names = list_variables().values()
    empty = {name.removeprefix("AKIN_"): "" for name in names}
    empty["NO_SUCH_SETTING"] = ""
    own = {"LISTEN": "127.0.0.1:0", "DATA_DIR": str(tmp_path / "data")}
    with RunningServer(tmp_path, **{**empty, **own}) as server:
        with akin.Client(server.address) as client:
            assert "local" == client.get_catalog().space.provider


def test_an_empty_line_of_the_env_file_is_unset(tmp_path: Path) -> None:
    """A server whose .env has empty values, with a byte order mark, runs with the defaults."""
    lines = "".join(f"{name}=\n" for name in list_variables().values())
    (tmp_path / ".env").write_text(lines, "utf-8-sig")
    with RunningServer(tmp_path) as server, akin.Client(server.address) as client:
        assert client.is_serving()


def test_an_empty_variable_hides_the_env_file(tmp_path: Path) -> None:
    """An empty variable unsets the value of .env: the default applies, not the invalid value."""
    (tmp_path / ".env").write_text("AKIN_EMBEDDING_BATCH_TEXTS=invalid\n")
    with RunningServer(tmp_path, EMBEDDING_BATCH_TEXTS="") as server:
        with akin.Client(server.address) as client:
            assert client.is_serving()


def test_a_byte_order_mark_hides_no_setting(tmp_path: Path) -> None:
    """The first line of a file .env with a byte order mark is read like the others."""
    path = tmp_path / ".env"
    path.write_text("AKIN_WORKERS=3\n", "utf-8-sig")
    assert 3 == Settings(_env_file=path).workers
    path.write_text("AKIN_WORKERS=none\n", "utf-8-sig")
    with pytest.raises(ValidationError):
        Settings(_env_file=path)
