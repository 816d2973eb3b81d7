"""Build everything that a release publishes, from a checkout, into a folder.

    python tools/release.py dist

Needs Node's tools for the web console, and Go's, Node's and Java's for the client of that language;
`--only` chooses parts.
Two builds of one commit are equal, byte for byte: times come from SOURCE_DATE_EPOCH, or from the
last commit. The container image is built from the Dockerfile.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from grpc_tools import protoc
from set_version import ROOT, read_version

GO_MODULE = "akin.dev/go"
CHART = ROOT / "deploy/helm/akin"
PROTOS = ROOT / "protos"
WELL_KNOWN_TYPES = Path(protoc.__file__).parent / "_proto"

# Tools are installed beside the interpreter, which need not be on the PATH.
TOOLS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

FILE_MODE = 0o644

# ZIP has no earlier times. Go does not look at them.
ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def build_python(target: Path) -> None:
    """Write the wheels and source distributions of the server and of the client."""
    # The wheel of the server contains the web console.
    console = ROOT / "console"
    _run(console, "npm", "ci", "--silent", "--no-audit", "--no-fund")
    _run(console, "npm", "run", "--silent", "build")
    for folder in (ROOT, ROOT / "clients/python"):
        _run(folder, sys.executable, "-m", "hatchling", "build", "-d", str(target))


def build_npm(target: Path) -> None:
    """Write the tarball of the client for Node.js."""
    folder = ROOT / "clients/typescript"
    _run(folder, "npm", "ci", "--silent", "--no-audit", "--no-fund")
    _run(folder, "npm", "pack", "--silent", "--pack-destination", str(target))


def build_java(target: Path) -> None:
    """Write the JARs of the Java client (code, sources and Javadoc), and its POM."""
    folder = ROOT / "clients/java"
    _run(folder, "mvn", "-B", "-ntp", "-q", "-Prelease", "-DskipTests", "clean", "package")
    name = f"akin-client-{read_version()}"
    for suffix in (".jar", "-sources.jar", "-javadoc.jar"):
        shutil.copyfile(folder / "target" / f"{name}{suffix}", target / f"{name}{suffix}")
    shutil.copyfile(folder / "pom.xml", target / f"{name}.pom")


def build_go(target: Path) -> None:
    """Write the module of the Go client, as module proxies serve it."""
    version = read_version()
    folder = ROOT / "clients/go"
    with zipfile.ZipFile(target / f"akin-go-v{version}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _list_files(folder):
            name = f"{GO_MODULE}@v{version}/{path.relative_to(folder).as_posix()}"
            archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), path.read_bytes())


def build_protos(target: Path) -> None:
    """Write the protos as an archive, and as a descriptor set with their comments."""
    version = read_version()
    files = [*_list_files(PROTOS / "akin"), PROTOS / "buf.yaml", ROOT / "LICENSE"]
    name = f"akin-protos-{version}"
    _write_tar(
        target / f"{name}.tar.gz",
        (
            (
                f"{name}/{path.relative_to(PROTOS if PROTOS in path.parents else ROOT).as_posix()}",
                path,
            )
            for path in files
        ),
    )
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={WELL_KNOWN_TYPES}",
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={target / f'{name}.binpb'}",
            *(str(path) for path in files if path.suffix == ".proto"),
        ]
    )
    if status:
        raise SystemExit("protoc rejected the protos")


def build_chart(target: Path) -> None:
    """Write the package of the Helm chart, as `helm package` does."""
    _write_tar(
        target / f"akin-{read_version()}.tgz",
        ((f"akin/{path.relative_to(CHART).as_posix()}", path) for path in _list_files(CHART)),
    )


def build_sbom(target: Path) -> None:
    """Write the bill of materials of the image's Python packages, in CycloneDX's JSON format."""
    command = shutil.which("cyclonedx-py", path=TOOLS)
    if command is None:
        raise SystemExit("cyclonedx-py is missing: run `make deploy-tools`")
    _run(
        ROOT,
        command,
        "requirements",
        "requirements.lock",
        "--pyproject=pyproject.toml",
        "--output-reproducible",
        f"--output-file={target / f'akin-service-{read_version()}.cdx.json'}",
    )


def write_checksums(target: Path) -> None:
    """Write SHA256SUMS, which `sha256sum --check` reads, of all files of the folder."""
    sums = target / "SHA256SUMS"
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(target.iterdir())
        if path != sums
    ]
    sums.write_text("".join(lines))


PARTS: dict[str, Callable[[Path], None]] = {
    "python": build_python,
    "npm": build_npm,
    "go": build_go,
    "java": build_java,
    "protos": build_protos,
    "chart": build_chart,
    "sbom": build_sbom,
}


def build(target: Path, parts: Iterable[str] = PARTS) -> None:
    """Build parts of a release into an empty folder, which is made if it does not exist.

    Raises:
        SystemExit: the folder is not empty, or a part could not be built.
    """
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise SystemExit(f"{target} is not empty")
    os.environ.setdefault("SOURCE_DATE_EPOCH", _read_commit_time())
    for part in parts:
        PARTS[part](target.resolve())
    write_checksums(target)


def _run(folder: Path, *command: str) -> None:
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise SystemExit(f"{command[0]} failed in {folder}")


def _read_commit_time() -> str:
    command = ("git", "log", "-1", "--format=%ct")
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def _list_files(folder: Path) -> list[Path]:
    """Return the files below a folder in order, except hidden ones."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")
    )


def _write_tar(target: Path, members: Iterable[tuple[str, Path]]) -> None:
    """Write files by their names in a compressed archive, without owners and with one time."""
    seconds = int(os.environ["SOURCE_DATE_EPOCH"])
    with (
        target.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=seconds) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name, path in members:
            contents = path.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(contents), seconds, FILE_MODE
            archive.addfile(member, io.BytesIO(contents))


def main() -> None:
    """Build the parts that the command line names."""
    parser = argparse.ArgumentParser(description="Build what a release publishes.")
    parser.add_argument("target", type=Path, help="an empty folder, or one to make")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    arguments = parser.parse_args()
    build(arguments.target, arguments.only)


if __name__ == "__main__":
    main()
