"""Run the code in a client's README as one program against the server at AKIN_ADDRESS.

    python clients/conformance/readme.py go|typescript|java|rust

The first snippet is a program, and the others continue it. Each has to print something. Rust has no
client: its program stands in docs/other-languages.md, a snippet for each file. The client must be
built. The exit status is 1 if the program fails or a snippet prints nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.snippets import ADDRESS, read_snippets  # noqa: E402  (needs the path)

MARK = "-- end of snippet --"

TIMEOUT_SECONDS = 900

RUST_PAGE = ROOT / "docs/other-languages.md"

# Imports of the snippets after the first one, by the name that they use.
GO_IMPORTS = {
    "slices": "slices",
    "fieldmaskpb": "google.golang.org/protobuf/types/known/fieldmaskpb",
    "filters": "akin.dev/go/filters",
    "metadata": "google.golang.org/grpc/metadata",
    "errors": "errors",
    "time": "time",
}
JAVA_IMPORTS = ("com.google.protobuf.FieldMask", "io.akin.*", "io.grpc.StatusRuntimeException")


def join(snippets: Sequence[str], indent: str, closing: str, mark: str) -> str:
    """Return the program: the snippets after the first stand before the last `closing` of it."""
    first, *others = snippets
    head, end, tail = first.rpartition(closing)
    return "".join([head, mark, *(f"{indent}{each}\n{mark}" for each in others), end, tail])


def run_go(snippets: Sequence[str], folder: Path) -> str:
    """Run Go snippets within the module of the client, without adding a file to it."""
    program = join(snippets, "", "}\n", f'fmt.Println("{MARK}")\n')
    used = [
        f'\t"{path}"\n'
        for name, path in GO_IMPORTS.items()
        if f"{name}." in program and f'"{path}"' not in program
    ]
    (folder / "main.go").write_text(program.replace("import (\n", f"import (\n{''.join(used)}", 1))
    client = ROOT / "clients/go"
    replaced = {str(client / "examples/readme/main.go"): str(folder / "main.go")}
    (folder / "overlay.json").write_text(json.dumps({"Replace": replaced}))
    return run(["go", "run", "-overlay", folder / "overlay.json", "./examples/readme"], client)


def run_typescript(snippets: Sequence[str], folder: Path) -> str:
    """Compile TypeScript snippets in a project that depends on the client, and run them."""
    client = ROOT / "clients/typescript"
    program = "".join(f"{each}\nconsole.log({MARK!r});\n" for each in snippets)
    (folder / "main.ts").write_text(f"{program}client.close();\n")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "node_modules/@akin").mkdir(parents=True)
    (folder / "node_modules/@akin/client").symlink_to(client)
    (folder / "node_modules/@types").symlink_to(client / "node_modules/@types")
    compiler = client / "node_modules/.bin/tsc"
    options = ("--strict", "--module", "nodenext", "--target", "es2022")
    run([compiler, *options, "main.ts"], folder)
    return run(["node", "main.js"], folder)


def run_java(snippets: Sequence[str], folder: Path) -> str:
    """Run Java snippets with the classes of the client and what it depends on."""
    client = ROOT / "clients/java"
    imports = "".join(f"import {name};\n" for name in JAVA_IMPORTS)
    closing = "    }\n  }\n}\n"
    program = join(snippets, "", closing, f'System.out.println("{MARK}");\n')
    (folder / "Main.java").write_text(imports + program)
    listing = folder / "classpath"
    run(["mvn", "-q", "dependency:build-classpath", f"-Dmdep.outputFile={listing}"], client)
    classpath = f"{client / 'target/classes'}:{listing.read_text()}"
    return run(["java", "-cp", classpath, folder / "Main.java"], folder)


def run_rust(snippets: Sequence[str], folder: Path) -> str:
    """Build and run the example in Rust."""
    (folder / "src").mkdir()
    (folder / "protos").symlink_to(ROOT / "protos")
    for name, code in zip(("build.rs", "src/main.rs"), snippets, strict=True):
        (folder / name).write_text(code)
    (manifest,) = [each for each in read_snippets(RUST_PAGE) if each.language == "toml"]
    (folder / "Cargo.toml").write_text(manifest.code)
    output = run(["cargo", "run", "--quiet"], folder)
    return f"the build prints nothing{MARK}{output}{MARK}"


RUN: dict[str, Callable[[Sequence[str], Path], str]] = {
    "go": run_go,
    "typescript": run_typescript,
    "java": run_java,
    "rust": run_rust,
}


def run(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command and return what it printed.

    Raises:
        SystemExit: the command failed.
    """
    process = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    if process.returncode:
        print(process.stdout)
        raise SystemExit(f"{Path(command[0]).name} failed")
    return process.stdout


def main(name: str) -> None:
    """Run the snippets of a client.

    Raises:
        SystemExit: the program fails, or a snippet prints nothing.
    """
    language = {"typescript": "ts"}.get(name, name)
    page = RUST_PAGE if name == "rust" else ROOT / f"clients/{name}/README.md"
    snippets = [
        each for each in read_snippets(page) if each.language == language and not each.reason
    ]
    address = os.environ["AKIN_ADDRESS"]
    codes = [each.code.replace(ADDRESS, address) for each in snippets]
    with tempfile.TemporaryDirectory() as folder:
        outputs = RUN[name](codes, Path(folder)).split(MARK)[:-1]
    silent = [
        each.name for each, output in zip(snippets, outputs, strict=True) if not output.strip()
    ]
    if silent:
        raise SystemExit(f"these snippets print nothing: {', '.join(silent)}")
    print(f"{len(snippets)} snippets of {page.relative_to(ROOT)} ran")


if __name__ == "__main__":
    main(sys.argv[1])
