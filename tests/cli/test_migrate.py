from pathlib import Path

import pytest
from support.command import run, run_on_terminal
from support.moves import MovedStore, fill, folder_address

SECRET = "hunter2"  # noqa: S105  (no password of anything)

# A port that nobody listens on.
UNREACHABLE = f"postgresql://akin:{SECRET}@127.0.0.1:1/akin?connect_timeout=1"


async def test_the_output_says_what_to_do_next(tmp_path: Path) -> None:
    """A copy says that it is not finished, and the end that servers can use the target."""
    await fill(MovedStore(tmp_path / "a", is_file=True))
    source, target = (folder_address(tmp_path / name) for name in "ab")
    words = ("migrate", "--from", source, "--to", target)
    copied = run(*words, folder=tmp_path)
    assert (0, b"") == (copied.status, copied.stderr)
    assert b"stop all servers that use the source" in copied.stdout
    status, output = run_on_terminal(*words, "--finish", folder=tmp_path)
    assert 0 == status
    assert b"finished: " in output
    again = run(*words, "--finish", folder=tmp_path)
    assert 1 == again.status
    assert b"the migration is finished" in again.stderr


@pytest.mark.parametrize("side", ["--from", "--to"])
@pytest.mark.parametrize(
    ("address", "status"),
    [
        (UNREACHABLE, 1),
        (UNREACHABLE.replace("127.0.0.1:1", "[::1"), 2),
        (f"postgresql://akin:{SECRET}@127.0.0.1:1/akin?no_option=1", 2),
        (f"postgresql://akin:{SECRET}@127.0.0.1:port/akin", 2),
        (f"postgresql://akin:pass@{SECRET}@127.0.0.1:1/akin", 2),
        (f"postgresql+psycopg://akin:{SECRET}@127.0.0.1:1/akin", 2),
        (f"mysql://akin:{SECRET}@localhost/akin", 2),
        (f"akin:{SECRET}@localhost/akin", 2),
    ],
)
async def test_no_message_has_a_password(
    tmp_path: Path, side: str, address: str, status: int
) -> None:
    """A store that cannot be used is reported in one line without the password of its address."""
    await fill(MovedStore(tmp_path / "data", is_file=True))
    other = {"--from": "--to", "--to": "--from"}[side]
    folder = folder_address(tmp_path / ("data" if other == "--from" else "new"))
    done = run("migrate", side, address, other, folder, folder=tmp_path)
    assert status == done.status
    (line,) = done.error_lines
    assert line.startswith(f"akin migrate: {side}" if status == 2 else "akin migrate: PostgreSQL")
    assert SECRET not in line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("backup", "copy"), "pg_dump --format=custom --schema=akin --no-unlogged-table-data"),
        (("restore", "copy"), "pg_restore"),
        (("vacuum",), "autovacuum"),
    ],
)
async def test_commands_of_the_folder_say_what_to_use_for_postgres(
    tmp_path: Path, words: tuple[str, ...], instead: str
) -> None:
    """Where the settings keep the data in PostgreSQL, the folder of the settings is not touched."""
    await fill(MovedStore(tmp_path / "data", is_file=True))
    before = {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    done = run(*words, folder=tmp_path, variables={"AKIN_STORE": UNREACHABLE})
    assert 2 == done.status
    (line,) = done.error_lines
    assert instead in line
    assert SECRET not in line
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "data").iterdir()}
    assert not (tmp_path / "copy").exists()


async def test_a_named_folder_is_backed_up_beside_postgres(tmp_path: Path) -> None:
    """The folder that the command line names is used, whatever the settings are."""
    await fill(MovedStore(tmp_path / "data", is_file=True))
    variables = {"AKIN_STORE": UNREACHABLE}
    done = run(
        "backup", "copy", "--data-dir", tmp_path / "data", folder=tmp_path, variables=variables
    )
    assert 0 == done.status, done.stderr


@pytest.mark.slow
def test_the_demo_leaves_the_store_of_the_settings_alone(tmp_path: Path) -> None:
    """A server that a command starts for itself keeps its data in its own folder."""
    url = MovedStore(tmp_path, is_file=False).address
    done = run("demo", folder=tmp_path, variables={"AKIN_STORE": url})
    assert 0 == done.status, done.stderr
    assert [] == MovedStore(tmp_path, is_file=False).read(
        "SELECT 1 FROM pg_namespace WHERE nspname = 'akin'"
    )
