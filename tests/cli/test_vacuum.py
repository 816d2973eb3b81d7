import json
from pathlib import Path

from support.clock import FakeClock
from support.command import run
from support.stores import indexed, opened

from service.storage.data_folder import DATABASE

# They take several times the pages that a purge leaves free.
ITEMS = 3_000


def test_a_folder_without_a_database_stays_as_it_is(tmp_path: Path) -> None:
    """The command names the missing file, and creates neither folder nor database."""
    done = run("vacuum", folder=tmp_path)
    missing = tmp_path / "data" / DATABASE
    assert (1, [f"akin vacuum: there is no database {missing}"]) == (
        done.status,
        done.error_lines,
    )
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_no_database_stays_as_it_is(tmp_path: Path) -> None:
    """Another file of this name is reported in one line, and keeps its content."""
    file = tmp_path / "data" / DATABASE
    file.parent.mkdir()
    file.write_text("precious " * 1_000)
    done = run("vacuum", folder=tmp_path)
    (message,) = done.error_lines
    assert (1, "precious " * 1_000) == (done.status, file.read_text())
    assert message.startswith("akin vacuum: ")


def test_invalid_settings_are_reported(tmp_path: Path) -> None:
    """A retention time that is no number ends the command with status 2."""
    variables = {"AKIN_VECTOR_RETENTION_DAYS": "-1"}
    done = run("vacuum", folder=tmp_path, variables=variables)
    assert 2 == done.status
    assert "AKIN_VECTOR_RETENTION_DAYS" in done.error_lines[0]


async def test_the_sizes_are_those_before_and_after_the_command(tmp_path: Path) -> None:
    """The room of removed data counts as given back, and not as if it had never been taken."""
    file = tmp_path / "data" / DATABASE
    names = [str(number) for number in range(ITEMS)]
    async with opened(file.parent, FakeClock()) as (stores, generation):
        await stores.items.upsert_many(generation, [indexed(name, name) for name in names])
        await stores.items.delete_many(generation, names)
    bytes_before = file.stat().st_size
    variables = {"AKIN_VECTOR_RETENTION_DAYS": "0"}
    done = run("vacuum", "--json", folder=tmp_path, variables=variables)
    report = json.loads(done.stdout)
    assert (ITEMS, ITEMS) == (report["tombstones"], report["vectors"])
    assert (bytes_before, file.stat().st_size) == (report["bytes_before"], report["bytes_after"])
    assert report["bytes_after"] < bytes_before
