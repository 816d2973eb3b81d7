import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
import release
import set_version
import yaml
from set_version import REPOSITORY_PLACES, ROOT, VERSION_PLACES, Place, read_values, read_version

# Parts that are built without tools of other languages, in seconds.
QUICK = ("go", "protos", "chart")


@pytest.mark.parametrize("places", [VERSION_PLACES, REPOSITORY_PLACES])
def test_every_file_states_the_same(places: tuple[Place, ...]) -> None:
    """All files that name the version or the repository agree with pyproject.toml."""
    values = {value for place in places for value in read_values(place)}
    assert values == set(read_values(places[0]))


def test_the_version_is_written_everywhere(tmp_path: Path) -> None:
    """A new version replaces the former one in every file, and nothing else changes."""
    for path in {place.path for place in VERSION_PLACES}:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    set_version.write_value(VERSION_PLACES, "9.8.7", tmp_path)
    values = {value for place in VERSION_PLACES for value in read_values(place, tmp_path)}
    assert {"9.8.7"} == values
    set_version.write_value(VERSION_PLACES, read_version(), tmp_path)
    assert all(
        (tmp_path / place.path).read_bytes() == (ROOT / place.path).read_bytes()
        for place in VERSION_PLACES
    )


def test_a_file_that_lost_its_version_is_noticed(tmp_path: Path) -> None:
    """A place that does not match is an error, so that no file keeps an old version unnoticed."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    with pytest.raises(ValueError, match=r"pyproject\.toml has 0 matches"):
        read_version(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quick parts of a release."""
    folder = tmp_path_factory.mktemp("release") / "dist"
    release.build(folder, QUICK)
    return folder


def test_a_release_can_be_repeated(built: Path, tmp_path: Path) -> None:
    """Two builds of the same sources are equal, byte for byte."""
    release.build(tmp_path / "again", QUICK)
    assert (built / "SHA256SUMS").read_text() == (tmp_path / "again/SHA256SUMS").read_text()


def test_checksums_are_those_of_all_files(built: Path) -> None:
    """SHA256SUMS has a line for each other file, as `sha256sum` writes it."""
    lines = (built / "SHA256SUMS").read_text().splitlines()
    assert sorted(lines) == sorted(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"
        for path in built.iterdir()
        if path.name != "SHA256SUMS"
    )


def test_a_folder_with_files_is_refused(built: Path) -> None:
    """No file of a former release gets among those of this one."""
    with pytest.raises(SystemExit, match="is not empty"):
        release.build(built, QUICK)


def test_the_chart_package_has_the_chart(built: Path) -> None:
    """The package contains the version of the chart and all its files, below its name."""
    with tarfile.open(built / f"akin-{read_version()}.tgz") as archive:
        names = archive.getnames()
        chart = yaml.safe_load(archive.extractfile("akin/Chart.yaml") or io.BytesIO())
    assert read_version() == chart["version"] == chart["appVersion"]
    assert {"akin/values.yaml", "akin/values.schema.json", "akin/templates/_helpers.tpl"} < set(
        names
    )


def test_the_go_module_is_complete(built: Path) -> None:
    """The archive has the module's code, generated stubs, license and go.mod, by Go's names."""
    with zipfile.ZipFile(built / f"akin-go-v{read_version()}.zip") as archive:
        names = archive.namelist()
    prefix = f"{release.GO_MODULE}@v{read_version()}/"
    assert all(name.startswith(prefix) for name in names)
    needed = {"go.mod", "LICENSE", "client.go", "service_config.json", "akinv1/item.pb.go"}
    assert needed < {name.removeprefix(prefix) for name in names}


def test_the_protos_come_without_what_they_import(built: Path) -> None:
    """The archive has Akin's protos only; the descriptor set has those of protobuf, too."""
    with tarfile.open(built / f"akin-protos-{read_version()}.tar.gz") as archive:
        protos = {name for name in archive.getnames() if name.endswith(".proto")}
    prefix = f"akin-protos-{read_version()}/akin/v1/"
    assert {f"{prefix}{path.name}" for path in (ROOT / "protos/akin/v1").glob("*.proto")} == protos
    descriptors = (built / f"akin-protos-{read_version()}.binpb").read_bytes()
    assert b"google/protobuf/timestamp.proto" in descriptors


def test_the_bill_of_materials_names_every_package(tmp_path: Path) -> None:
    """The bill of materials has each package of the image with its version."""
    if shutil.which("cyclonedx-py", path=release.TOOLS) is None:
        pytest.skip("run `make deploy-tools`")
    release.build(tmp_path / "dist", ["sbom"])
    (path,) = (tmp_path / "dist").glob("*.cdx.json")
    components = json.loads(path.read_text())["components"]
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = {line.split(" ")[0] for line in lines if line and not line.startswith((" ", "#"))}
    assert pins == {f"{each['name']}=={each['version']}" for each in components}
