"""The folders of trainings in a data folder that people chose."""

from pathlib import Path

from service.background.training_folders import remove_former, remove_unused


def create_folders(folder: Path, *names: str) -> None:
    """Create folders, each with a file."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("content")


def list_folders(folder: Path) -> list[str]:
    """Return the folders with files, relative to that of all."""
    return sorted(str(path.parent.relative_to(folder)) for path in folder.rglob("file"))


def test_unused_trainings_are_removed(tmp_path: Path) -> None:
    """The training of each catalog's model stays, and folders of deleted catalogs go."""
    create_folders(tmp_path, "1/10", "1/20", "2/10")
    remove_unused(tmp_path, {1: 20, 3: 30})
    assert ["1/20"] == list_folders(tmp_path)
    assert not (tmp_path / "2").exists()
    remove_unused(tmp_path / "missing", {1: 20})


def test_what_others_put_there_stays(tmp_path: Path) -> None:
    """Files and folders that no training wrote are not removed, whatever models there are."""
    foreign = ["1/photos", "2/photos", "photos", "photos/10"]
    create_folders(tmp_path, *foreign, "1/10", "1/20", "2/10")
    (tmp_path / "3").write_text("a file")
    remove_unused(tmp_path, {1: 20})
    assert sorted([*foreign, "1/20"]) == list_folders(tmp_path)
    remove_former(tmp_path / "1", tmp_path / "1/30")
    assert foreign == list_folders(tmp_path)
    assert (tmp_path / "3").is_file()
