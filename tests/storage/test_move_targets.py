"""Which stores a move takes as its source and its target."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from support.moves import MovedStore, copy, execute_file, fill, finish, folder_address
from support.postgres import query_database

from service import errors
from service.storage.data_folder import DATABASE
from service.storage.moving.move_addresses import StoreAddressError, open_move, parse_folder
from service.storage.sqlite import migrations as sqlite_migrations

pytestmark = pytest.mark.sqlite


@pytest.fixture(params=["to a file", "to PostgreSQL"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> MovedStore:
    """A target of either kind."""
    return MovedStore(tmp_path / "target", request.param == "to a file")


@pytest.fixture
async def source(tmp_path: Path) -> MovedStore:
    """A file with rows in every table."""
    store = MovedStore(tmp_path / "source", is_file=True)
    await fill(store)
    return store


def contents(store: MovedStore) -> Any:
    """All that a store has, as one value."""
    if store.is_file:
        folder = store.folder
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    tables = store.read("SELECT schemaname || '.' || tablename FROM pg_tables ORDER BY 1")
    return {
        name: store.read(f"TABLE {name}")
        for (name,) in tables
        if name.startswith(("akin.", "public."))
    }


async def test_a_store_with_data_is_not_overwritten(
    source: MovedStore, target: MovedStore, tmp_path: Path
) -> None:
    """Another store keeps its data, and so does one that a move has finished."""
    await fill(target)
    before = contents(target)
    for move in (copy, finish):
        with pytest.raises(errors.StoreUnavailable, match="is not empty"):
            move(source.address, target.address)
    assert before == contents(target)
    other = MovedStore(tmp_path / "other", not target.is_file)
    finish(source.address, other.address)
    before = contents(other)
    with pytest.raises(errors.StoreUnavailable, match="the migration is finished"):
        finish(source.address, other.address)
    assert before == contents(other)


async def test_an_unfinished_target_belongs_to_its_source(
    source: MovedStore, target: MovedStore, tmp_path: Path
) -> None:
    """Another source cannot go on with it, and nobody can move it on."""
    other = MovedStore(tmp_path / "other", is_file=True)
    await fill(other)
    copy(source.address, target.address)
    before = contents(target)
    with pytest.raises(errors.StoreUnavailable, match="migration of another store"):
        copy(other.address, target.address)
    with pytest.raises(errors.StoreUnavailable, match="unfinished migration"):
        copy(target.address, folder_address(tmp_path / "third"))
    assert before == contents(target)
    assert not (tmp_path / "third").exists()


async def test_tables_of_other_programs_stay(source: MovedStore, target: MovedStore) -> None:
    """A database of another program is refused, and keeps its tables."""
    if target.is_file:
        target.folder.mkdir()
        execute_file(target.folder, "CREATE TABLE items (name TEXT)")
    else:
        query_database(target.folder, "CREATE SCHEMA akin; CREATE TABLE items (name TEXT)")
    before = contents(target)
    with pytest.raises(errors.StoreUnavailable, match="tables of another program"):
        copy(source.address, target.address)
    assert before == contents(target)


async def test_an_empty_store_can_be_a_target(source: MovedStore, target: MovedStore) -> None:
    """A store that no server has used yet is filled, and takes the identity of the source."""
    await target.open().close()
    finish(source.address, target.address)
    identity = "SELECT store_id FROM identity"
    assert source.read(identity) == target.read(identity)


async def test_a_target_whose_creation_was_interrupted_is_empty(
    source: MovedStore, target: MovedStore
) -> None:
    """A process can end between the steps that create a schema."""
    if target.is_file:
        target.folder.mkdir()
        script = (files(sqlite_migrations) / "0001_initial.sql").read_text()
        execute_file(target.folder, f"{script}; PRAGMA user_version = 1")
    else:
        query_database(
            target.folder,
            """CREATE SCHEMA akin;
               CREATE TABLE schema_version
                   (version INTEGER NOT NULL, oldest_version INTEGER NOT NULL);
               INSERT INTO schema_version VALUES (0, 0)""",
        )
    assert finish(source.address, target.address).changed_rows


async def test_two_moves_do_not_share_a_target(source: MovedStore, target: MovedStore) -> None:
    """While one move runs, another one to the same target is refused."""

    def copy_too(_progress: object) -> None:
        with pytest.raises(errors.AkinError, match=r"another migration|another server uses"):
            copy(source.address, target.address)

    copy(source.address, target.address, copy_too)


async def test_a_server_on_the_source_prevents_the_end(target: MovedStore, tmp_path: Path) -> None:
    """A database that a server has open can be copied, and the move ends once the server has."""
    source = MovedStore(tmp_path / "source", is_file=False)
    await fill(source)
    stores = source.open()
    copy(source.address, target.address)
    with pytest.raises(errors.FolderInUse, match="servers use the database"):
        finish(source.address, target.address)
    await stores.close()
    finish(source.address, target.address)


async def test_an_older_schema_is_not_moved(source: MovedStore, target: MovedStore) -> None:
    """A source that lacks columns is refused with what to do, and stays as it is."""
    source.execute("ALTER TABLE items DROP COLUMN attributes")
    with pytest.raises(errors.StoreUnavailable, match="another schema"):
        copy(source.address, target.address)


@pytest.mark.parametrize("name", ["missing", "foreign", "damaged"])
async def test_a_source_without_data_is_named(tmp_path: Path, name: str) -> None:
    """A folder without a database of Akin is refused, and no target is created."""
    folder = tmp_path / name
    if name == "foreign":
        folder.mkdir()
        execute_file(folder, "CREATE TABLE t (x)")
    elif name == "damaged":
        folder.mkdir()
        (folder / DATABASE).write_text("precious " * 1_000)
    for move in (copy, finish):
        with pytest.raises(errors.StoreUnavailable):
            move(folder_address(folder), folder_address(tmp_path / "target"))
    assert not (tmp_path / "target").exists()
    assert (name != "missing") == folder.exists()


@pytest.mark.parametrize(
    "address",
    [
        "",
        "data",
        "/data",
        "sqlite:",
        "sqlite://data",
        "sqlite://host/data",
        "sqlite:///data?mode=ro",
        "mysql://u:secret@h/d",
        "host=h password=secret",
    ],
)
def test_other_addresses_are_refused(address: str) -> None:
    """An address of another form is refused by a message that does not show it."""
    with pytest.raises(StoreAddressError) as caught:
        parse_folder(address, "--to")
    assert str(caught.value).startswith("--to must have the form")
    assert "secret" not in str(caught.value)


def test_addresses_of_folders_can_have_any_characters() -> None:
    """A path is absolute; escapes stand for characters that addresses give a meaning."""
    assert Path("/my data/?#é") == parse_folder("sqlite:///my%20data/%3F%23é", "--to")
    assert parse_folder("postgresql://u:[/@h,h2:5/d?target_session_attrs=any", "--to") is None


def test_a_store_does_not_move_into_itself(tmp_path: Path) -> None:
    """The same folder under another name is the same folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to(tmp_path / "a")
    addresses = [folder_address(tmp_path / name) for name in "ab"]
    with pytest.raises(StoreAddressError, match="the same folder"), open_move(*addresses):
        pass
