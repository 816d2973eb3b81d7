"""What a release publishes, installed into empty projects that call a real server."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import release
from set_version import ROOT, read_version
from support.server import RunningServer

VERSION = read_version()

# Time for one command, including downloads of dependencies.
TIMEOUT_SECONDS = 600


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server."""
    with RunningServer(tmp_path_factory.mktemp("server")) as server:
        yield server.address


def run(folder: Path, *command: str | Path, **variables: str) -> str:
    """Run a command of the empty project; return its output."""
    own = ("PYTHON", "AKIN_", "GOFLAGS", "GOPROXY")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    process = subprocess.run(
        command,
        cwd=folder,
        env=inherited | variables,
        timeout=TIMEOUT_SECONDS,
        check=False,
        capture_output=True,
        text=True,
    )
    assert not process.returncode, process.stdout + process.stderr
    return process.stdout


def require(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def make_environment(folder: Path, *wheels: Path) -> Path:
    """Make a virtual environment with wheels, and the dependencies of this one; return `bin`."""
    run(folder, sys.executable, "-m", "venv", "--without-pip", "venv")
    # Paths in such a file are searched, but the editable installations in them are not followed.
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    scripts = folder / "venv/bin"
    uv = shutil.which("uv", path=release.TOOLS)
    assert uv is not None
    install = (uv, "pip", "install", "-q", "--offline", "--no-deps")
    run(folder, *install, "--python", scripts / "python", *wheels)
    return scripts


def test_the_wheel_calls_a_server(tmp_path: Path, address: str) -> None:
    """The example runs in an environment that got the client from its wheel."""
    release.build(tmp_path / "dist", ["python"])
    scripts = make_environment(tmp_path, *(tmp_path / "dist").glob("akin_client-*.whl"))
    where = run(tmp_path, scripts / "python", "-c", "import akin; print(akin.__file__)")
    assert (tmp_path / "venv") in Path(where).parents
    example = ROOT / "clients/python/examples/recommend.py"
    assert "shoe-1" in run(tmp_path, scripts / "python", example, address)


def test_the_wheel_of_the_server_serves(tmp_path: Path) -> None:
    """The demo runs from the wheels of the server and of its client."""
    release.build(tmp_path / "dist", ["python"])
    scripts = make_environment(tmp_path, *(tmp_path / "dist").glob("*.whl"))
    where = run(tmp_path, scripts / "python", "-c", "import service; print(service.__file__)")
    assert (tmp_path / "venv") in Path(where).parents
    assert "Books like" in run(tmp_path, scripts / "akin", "demo")


def test_the_npm_tarball_calls_a_server(tmp_path: Path, address: str) -> None:
    """The compiled example runs in a project that installed the tarball."""
    require("npm")
    release.build(tmp_path / "dist", ["npm"])
    project = tmp_path / "project"
    project.mkdir()
    (project / "package.json").write_text(json.dumps({"type": "module"}))
    (tarball,) = (tmp_path / "dist").glob("*.tgz")
    run(project, "npm", "install", "--silent", "--prefer-offline", "--no-audit", tarball)
    # `npm pack` has compiled the examples, too.
    shutil.copy(ROOT / "clients/typescript/dist/examples/quickstart.js", project)
    assert "shoe-1" in run(project, "node", "quickstart.js", address)
    declarations = project / "node_modules/@akin/client/dist/src/index.d.ts"
    assert declarations.is_file()


def test_the_go_module_calls_a_server(tmp_path: Path, address: str) -> None:
    """The example runs in a project that got the module from a module proxy of files."""
    require("go")
    release.build(tmp_path / "dist", ["go"])
    proxy = tmp_path / "proxy" / release.GO_MODULE / "@v"
    proxy.mkdir(parents=True)
    (archive,) = (tmp_path / "dist").glob("akin-go-*.zip")
    shutil.copy(archive, proxy / f"v{VERSION}.zip")
    shutil.copy(ROOT / "clients/go/go.mod", proxy / f"v{VERSION}.mod")
    (proxy / f"v{VERSION}.info").write_text(json.dumps({"Version": f"v{VERSION}"}))
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(ROOT / "clients/go/examples/quickstart/main.go", project)
    downloads = Path(run(project, "go", "env", "GOMODCACHE").strip()) / "cache/download"
    proxies = run(project, "go", "env", "GOPROXY").strip()
    variables = {
        # Without the cache of this user, where a module of the same version would stay.
        "GOMODCACHE": str(tmp_path / "modules"),
        "GOPROXY": f"file://{tmp_path / 'proxy'},file://{downloads},{proxies}",
        "GOFLAGS": "-mod=mod -modcacherw",
        "GONOSUMDB": "*",
    }
    run(project, "go", "mod", "init", "example", **variables)
    run(project, "go", "get", f"{release.GO_MODULE}@v{VERSION}", **variables)
    output = run(project, "go", "run", ".", "-address", address, **variables)
    assert "shoe-1" in output


def test_the_jar_calls_a_server(tmp_path: Path, address: str) -> None:
    """The example runs in a project that depends on the installed JAR and its POM."""
    require("mvn")
    release.build(tmp_path / "dist", ["java"])
    local = f"-Dmaven.repo.local={link_repository(tmp_path)}"
    name = tmp_path / f"dist/akin-client-{VERSION}"
    run(
        tmp_path,
        *("mvn", "-B", "-q", local),
        "org.apache.maven.plugins:maven-install-plugin:3.1.4:install-file",
        f"-Dfile={name}.jar",
        f"-DpomFile={name}.pom",
    )
    project = tmp_path / "project"
    sources = project / "src/main/java"
    sources.mkdir(parents=True)
    shutil.copy(ROOT / "clients/java/examples/Quickstart.java", sources)
    (project / "pom.xml").write_text(POM.format(version=VERSION))
    goal = "org.codehaus.mojo:exec-maven-plugin:3.6.2:java"
    arguments = ("-Dexec.mainClass=Quickstart", f"-Dexec.args={address}")
    output = run(project, "mvn", "-B", "-q", local, "compile", goal, *arguments)
    assert "running shoes" in output


POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>example</groupId>
  <artifactId>example</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency>
      <groupId>io.akin</groupId>
      <artifactId>akin-client</artifactId>
      <version>{version}</version>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-resources-plugin</artifactId>
        <version>3.4.0</version>
      </plugin>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-compiler-plugin</artifactId>
        <version>3.14.1</version>
      </plugin>
    </plugins>
  </build>
</project>
"""


def link_repository(folder: Path) -> Path:
    """Make a local repository that shares everything with this user's, except Akin's artifacts."""
    shared, own = Path.home() / ".m2/repository", folder / "repository"
    (own / "io").mkdir(parents=True)
    shared.mkdir(parents=True, exist_ok=True)
    for path in (*shared.iterdir(), *shared.glob("io/*")):
        target = own / path.relative_to(shared)
        if not target.exists() and target != own / "io/akin":
            target.symlink_to(path)
    return own
