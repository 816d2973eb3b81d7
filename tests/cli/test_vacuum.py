from pathlib import Path

from support.command import run

from service.storage.data_folder import DATABASE


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
