"""Run the tests of every client, including the conformance cases, against new servers.

    python clients/conformance/run.py [--only NAME]

A client whose toolchain is not installed is skipped and reported. The exit status is 1 if a client
failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from support.security import Certificates, entry, write_keys  # noqa: E402  (needs the path)
from support.server import RunningServer  # noqa: E402

KINDS = ("passed", "failed", "skipped")

# Time for one command of one client, including downloads of dependencies.
TIMEOUT_SECONDS = 1_200

# Runs the code in the README of a client.
README = (sys.executable, str(ROOT / "clients/conformance/readme.py"))


class Client(NamedTuple):
    """The tests of a client.

    Attributes:
        name: the language of the client.
        folder: folder of the client, relative to the repository.
        tool: executable that must be on the PATH.
        commands: commands that run the tests, in order.
        generated: committed folder of generated code, relative to `folder`; empty if there is none.
        generate: command that generates this folder.
    """

    name: str
    folder: str
    tool: str
    commands: tuple[tuple[str, ...], ...]
    generated: str = ""
    generate: tuple[str, ...] = ()


CLIENTS = (
    Client(
        "Python",
        ".",
        sys.executable,
        ((sys.executable, "-m", "pytest", "-q", "tests/clients/test_conformance.py"),),
    ),
    Client(
        "Go",
        "clients/go",
        "go",
        (("go", "vet", "./..."), ("go", "test", "-count=1", "./..."), (*README, "go")),
        "akinv1",
        ("sh", "generate.sh"),
    ),
    Client(
        "TypeScript",
        "clients/typescript",
        "npm",
        (("npm", "ci", "--no-audit", "--no-fund"), ("npm", "test"), (*README, "typescript")),
        "src/generated",
        ("npm", "run", "generate"),
    ),
    Client("Rust", ".", "cargo", ((*README, "rust"),)),
    Client("Java", "clients/java", "mvn", (("mvn", "-B", "-ntp", "test"), (*README, "java"))),
)


def start_servers(folder: Path, stack: ExitStack) -> dict[str, str]:
    """Start a server without and one with TLS, and return their environment variables."""
    certificates = Certificates(folder / "tls")
    chain, key = certificates.issue("server")
    client_chain, client_key = certificates.issue("client")
    write_keys(folder / "keys.json", entry("conformance", "read", "write", "admin"))
    plain = stack.enter_context(RunningServer(folder, DATA_DIR=str(folder / "plain")))
    secure = stack.enter_context(
        RunningServer(
            folder,
            DATA_DIR=str(folder / "secure"),
            TLS_CERTIFICATE=str(chain),
            TLS_KEY=str(key),
            TLS_CLIENT_AUTHORITY=str(certificates.file),
            API_KEYS=str(folder / "keys.json"),
        )
    )
    return {
        "AKIN_ADDRESS": plain.address,
        "AKIN_TLS_ADDRESS": f"localhost:{secure.address.rpartition(':')[2]}",
        "AKIN_TLS_CA": str(certificates.file),
        "AKIN_TLS_CERT": str(client_chain),
        "AKIN_TLS_KEY": str(client_key),
        "AKIN_API_KEY": "conformance-key",
    }


def run_tests(client: Client) -> bool:
    """Run the tests of a client and check its stubs. Return whether both succeed."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {**os.environ, "PYTHON": sys.executable, **start_servers(folder, stack)}
        if not all(run(client, command, environment) for command in client.commands):
            return False
        before = read_generated(client)
        if not client.generate or (
            run(client, client.generate, environment) and read_generated(client) == before
        ):
            return True
        print(f"{client.folder}/{client.generated} differs from what the protos generate")
        return False


def run(client: Client, command: tuple[str, ...], environment: dict[str, str]) -> bool:
    """Run a command in the folder of a client. Return whether it succeeds."""
    folder = ROOT / client.folder
    process = subprocess.run(
        command, cwd=folder, env=environment, timeout=TIMEOUT_SECONDS, check=False
    )
    return process.returncode == 0


def read_generated(client: Client) -> dict[Path, bytes]:
    """Return the contents of the generated files."""
    folder = ROOT / client.folder / client.generated
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def find_outcome(client: Client) -> str:
    """Return the outcome of the tests of a client, which starts with one of KINDS."""
    if shutil.which(client.tool) is None:
        return f"skipped ({client.tool} is not installed)"
    return "passed" if run_tests(client) else "failed"


def main() -> None:
    """Run the tests of all clients and print the outcomes."""
    parser = argparse.ArgumentParser(description="Run the tests of every client.")
    parser.add_argument(
        "--only", choices=[client.name for client in CLIENTS], help="run the tests of this client"
    )
    only = parser.parse_args().only
    outcomes = {}
    for client in CLIENTS:
        if only in {None, client.name}:
            print(f"== {client.name}", flush=True)
            outcomes[client.name] = find_outcome(client)
    for name, outcome in outcomes.items():
        print(f"client for {name}: {outcome}")
    counts = [sum(outcome.startswith(kind) for outcome in outcomes.values()) for kind in KINDS]
    print("{} passed, {} failed, {} skipped".format(*counts))
    sys.exit(1 if counts[1] else 0)


if __name__ == "__main__":
    main()
