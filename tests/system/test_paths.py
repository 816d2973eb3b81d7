"""Commands with the paths that people give: they end well, or with one line that names the path."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.command import Ended, run
from support.server import RunningServer

from service.storage.sqlite.backup import create_backup
from service.storage.sqlite.sqlite_database import prepare_folder

DATABASE = "akin.sqlite3"

# Without capabilities, root obeys the permissions of files as other users do.
UNPRIVILEGED = ("setpriv", "--inh-caps=-all", "--bounding-set=-all") if os.geteuid() == 0 else ()
FOREIGN_UID = 65_534


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of an empty database."""
    source = tmp_path / "source"
    prepare_folder(source)
    file = tmp_path / "backup"
    create_backup(source, file, lambda _copied, _pages: None)
    return file


def check_refused(done: Ended, path: object, status: int = 1) -> None:
    """Check that a command failed with one line that names the path."""
    assert (status, b"") == (done.status, done.stdout)
    (line,) = done.error_lines
    assert line.startswith("akin")
    assert str(path) in line


def make_foreign(path: Path) -> None:
    """Take the permission to write from this process."""
    if UNPRIVILEGED:
        os.chown(path, FOREIGN_UID, FOREIGN_UID)
    else:
        path.chmod(0o555)


@pytest.mark.parametrize(
    "data_dir", [".", "data", "./new/deep/", "with space/žluť", "link", "link/", "../elsewhere"]
)
def test_a_restored_folder_can_have_any_relative_path(
    tmp_path: Path, backup: Path, data_dir: str
) -> None:
    """A backup is restored into a folder by its relative path, through links, and backed up."""
    folder = tmp_path / "work"
    (folder / "real").mkdir(parents=True)
    (folder / "link").symlink_to("real")
    variables = {"AKIN_DATA_DIR": data_dir}
    done = run("restore", "../backup", folder=folder, variables=variables)
    assert (0, []) == (done.status, done.error_lines)
    assert (folder / data_dir / DATABASE).is_file()
    copy = run("backup", "a b/../copy ž", folder=folder, variables=variables)
    check_refused(copy, "a b/../copy ž")
    copy = run("backup", "copy ž", folder=folder, variables=variables)
    assert (0, []) == (copy.status, copy.error_lines)
    assert backup.read_bytes()[:16] == (folder / "copy ž").read_bytes()[:16]


def test_a_tilde_is_the_home_folder(tmp_path: Path, backup: Path) -> None:
    """A path with ~ that no shell has expanded means the home folder, not a folder named ~."""
    variables = {"HOME": str(tmp_path / "home"), "AKIN_DATA_DIR": "~/data"}
    assert 0 == run("restore", backup, folder=tmp_path, variables=variables).status
    words = ("restore", backup, "--data-dir=~/other")
    assert 0 == run(*words, folder=tmp_path, variables=variables).status
    assert 0 == run("backup", "~/copy", folder=tmp_path, variables=variables).status
    names = {path.name for path in (tmp_path / "home").iterdir()}
    assert {"data", "other", "copy"} == names
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("data_dir", ["file", "file/below", "dangling", "/proc/akin"])
@pytest.mark.parametrize("command", ["restore", "serve"])
def test_a_data_folder_that_is_none_is_named(
    tmp_path: Path, backup: Path, command: str, data_dir: str
) -> None:
    """A file, a link to nothing and a place where nobody can write are no data folders."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "dangling").symlink_to("nowhere")
    words = ("restore", backup) if command == "restore" else ("serve",)
    done = run(*words, folder=tmp_path, variables={"AKIN_DATA_DIR": data_dir})
    check_refused(done, data_dir, 1 if command == "restore" else 2)
    assert "precious" == (tmp_path / "file").read_text()


@pytest.mark.parametrize("target", ["file/below", "none/below", "/proc/akin", "/dev/full", "link"])
def test_a_backup_that_cannot_be_written_is_named(
    tmp_path: Path, backup: Path, target: str
) -> None:
    """A backup into no folder, over a device or over a link fails, and leaves no file."""
    (tmp_path / "file").write_text("precious")
    (tmp_path / "link").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    done = run("backup", target, "--data-dir", backup.parent / "source", folder=tmp_path)
    check_refused(done, target)
    assert before == sorted(tmp_path.iterdir())


def build_database(folder: Path, content: str) -> None:
    """Put something that is no current database of Akin into a folder."""
    folder.mkdir()
    database = folder / DATABASE
    if content == "text":
        database.write_text("no database")
        return
    if content == "newer":
        prepare_folder(folder)
    version = {"newer": 99, "other with version": 5}.get(content, 0)
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        if content != "newer":
            connection.execute("CREATE TABLE items (x)")
        connection.execute(f"PRAGMA user_version = {version}")
        connection.commit()


@pytest.mark.parametrize("content", ["text", "newer", "other", "other with version"])
def test_other_databases_are_refused(tmp_path: Path, content: str) -> None:
    """No command takes a newer database, or one of another program."""
    folder, new = tmp_path / "folder", tmp_path / "new"
    build_database(folder, content)
    before = (folder / DATABASE).read_bytes()
    check_refused(run("backup", "copy", "--data-dir", folder, folder=tmp_path), folder / DATABASE)
    assert not (tmp_path / "copy").exists()
    words = ("restore", folder / DATABASE, "--data-dir", new)
    check_refused(run(*words, folder=tmp_path), folder / DATABASE)
    assert not (new / DATABASE).exists()
    assert before == (folder / DATABASE).read_bytes()
    variables = {"AKIN_DATA_DIR": str(folder), "AKIN_EMBEDDER": "local"}
    check_refused(run("serve", folder=tmp_path, variables=variables), folder / DATABASE, 2)


def test_foreign_folders_are_named(tmp_path: Path, backup: Path) -> None:
    """A folder that another user owns can be backed up if it can be read, but not written to."""
    if UNPRIVILEGED and shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv to lose its privileges")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    shutil.copy(backup, theirs / DATABASE)
    (theirs / DATABASE).chmod(0o644)
    make_foreign(theirs)
    for words in (("restore", backup), ("backup", theirs / "copy")):
        data_dir = theirs / "below" if words[0] == "restore" else backup.parent / "source"
        done = run(*words, "--data-dir", data_dir, folder=tmp_path, prefix=UNPRIVILEGED)
        check_refused(done, theirs)
    options = ("--data-dir", theirs)
    copy = run("backup", "copy", *options, folder=tmp_path, prefix=UNPRIVILEGED)
    assert (0, []) == (copy.status, copy.error_lines)
    assert [DATABASE] == [path.name for path in theirs.iterdir()]


def test_a_folder_in_use_is_not_restored_into(tmp_path: Path, backup: Path) -> None:
    """While a server uses a folder, restoring fails, and the server's data stays."""
    with RunningServer(tmp_path, EMBEDDER="local") as server, server.client() as client:
        client.upsert_item("a", "green tea")
        check_refused(run("restore", backup, folder=tmp_path), tmp_path / "data")
        assert "green tea" == client.get_item("a").text


def test_only_snapshots_are_removed(tmp_path: Path, backup: Path) -> None:
    """Restoring and serving remove unknown snapshots, and nothing else, from a folder `index`."""
    page = tmp_path / "data/index/site/page.html"
    snapshot = tmp_path / "data/index/77/manifest.json"
    for path in (page, snapshot):
        path.parent.mkdir(parents=True)
        path.write_text("content")
    assert 0 == run("restore", backup, folder=tmp_path).status
    assert (True, False) == (page.exists(), snapshot.exists())
    with RunningServer(tmp_path, EMBEDDER="local") as server:
        assert 0 == server.stop()
    assert page.exists()


def test_a_database_with_a_log_is_no_backup(tmp_path: Path, backup: Path) -> None:
    """The database of a server that was killed is refused as a backup: its log has writes."""
    with RunningServer(tmp_path, EMBEDDER="local") as server:
        with server.client() as client:
            client.upsert_item("a", "green tea")
        server.kill()
    database = tmp_path / "data" / DATABASE
    check_refused(run("restore", database, "--data-dir", "new", folder=tmp_path), database)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["backup", "restore"])
def test_a_disk_without_room_leaves_nothing(tmp_path: Path, backup: Path, command: str) -> None:
    """If the copy does not fit, the command names the target and leaves no part of it."""
    kilobytes = backup.stat().st_size // 1024 // 2
    words = (
        (backup, "--data-dir", "new") if command == "restore" else ("new", "--data-dir", "source")
    )
    done = run(command, *words, folder=tmp_path, script=f'ulimit -f {kilobytes}; exec "$@"')
    check_refused(done, tmp_path)
    remains = [
        path.name for path in tmp_path.rglob("*") if "new" in path.parts or "new" in path.name
    ]
    assert {"new", "lock"} >= set(remains)
    assert not (tmp_path / "new" / DATABASE).exists()


@pytest.mark.parametrize("option", ["--key-file", "--tls-ca", "--tls-cert"])
@pytest.mark.parametrize("file", ["none", ".", "binary"])
def test_files_of_a_connection_are_named(tmp_path: Path, option: str, file: str) -> None:
    """A key or certificate that is missing, a folder or unreadable is a usage error."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    done = run(option, file, "status", "--address", "127.0.0.1:1", folder=tmp_path)
    check_refused(done, file, 2)


@pytest.mark.parametrize(
    "variables",
    [
        {"AKIN_API_KEYS": "none"},
        {"AKIN_API_KEYS": "."},
        {"AKIN_TLS_CERTIFICATE": "none", "AKIN_TLS_KEY": "none"},
        {"AKIN_TLS_CERTIFICATE": "binary", "AKIN_TLS_KEY": "binary"},
    ],
    ids=str,
)
def test_files_of_a_server_are_named(tmp_path: Path, variables: dict[str, str]) -> None:
    """A server does not start with keys or certificates that it cannot read, and names the file."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    file = next(iter(variables.values()))
    variables = {"AKIN_EMBEDDER": "local", **variables}
    done = run("serve", folder=tmp_path, variables=variables)
    assert 2 == done.status
    (line,) = done.error_lines
    assert line.startswith("akin serve: ")
    assert file in line


@pytest.mark.parametrize("plot", ["none/map.png", ".", "/proc/map.png/x"])
def test_a_plot_that_cannot_be_written_is_named(tmp_path: Path, plot: str) -> None:
    """A plot's path is checked before the call whose result it shows."""
    words = ("clusters", "--plot", plot, "--address", "127.0.0.1:1")
    check_refused(run(*words, folder=tmp_path), plot, 2)
