"""Runs every client's tests, the conformance cases among them, each against servers of its own.

    python clients/conformance/run.py [--only NAME]

What has no toolchain here is skipped, and that is said. Exit code 1 if any failed.
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

from support.security import Certificates, entry, write_keys  # noqa: E402  (found only now)
from support.server import RunningServer  # noqa: E402

TIMEOUT_SECONDS = 1_200


class Client(NamedTuple):
    """A client's tests: where they are, what they need on the PATH, and how they are run.

    `generate` makes what is committed in the folder `generated` again, where there is such.
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
        (("go", "vet", "./..."), ("go", "test", "-count=1", "./...")),
        "akinv1",
        ("sh", "generate.sh"),
    ),
    Client(
        "TypeScript",
        "clients/typescript",
        "npm",
        (("npm", "ci", "--no-audit", "--no-fund"), ("npm", "test")),
        "src/generated",
        ("npm", "run", "generate"),
    ),
    Client("Java", "clients/java", "mvn", (("mvn", "-B", "-ntp", "test"),)),
)


def variables(folder: Path, stack: ExitStack) -> dict[str, str]:
    """Starts a plain and a guarded server; what tells a client's tests of them."""
    certificates = Certificates(folder / "tls")
    chain, key = certificates.issue("server")
    own_chain, own_key = certificates.issue("client")
    write_keys(folder / "keys.json", entry("conformance", "read", "write", "admin"))
    plain = stack.enter_context(RunningServer(folder, DATA_DIR=str(folder / "plain")))
    guarded = stack.enter_context(
        RunningServer(
            folder,
            DATA_DIR=str(folder / "guarded"),
            TLS_CERTIFICATE=str(chain),
            TLS_KEY=str(key),
            TLS_CLIENT_AUTHORITY=str(certificates.file),
            API_KEYS=str(folder / "keys.json"),
        )
    )
    return {
        "AKIN_ADDRESS": plain.address,
        "AKIN_TLS_ADDRESS": f"localhost:{guarded.address.rpartition(':')[2]}",
        "AKIN_TLS_CA": str(certificates.file),
        "AKIN_TLS_CERT": str(own_chain),
        "AKIN_TLS_KEY": str(own_key),
        "AKIN_API_KEY": "conformance-key",
    }


def passes(client: Client) -> bool:
    """Runs one client's tests, and proves its stubs current."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {**os.environ, "PYTHON": sys.executable, **variables(folder, stack)}
        if not all(succeeds(client, command, environment) for command in client.commands):
            return False
        before = contents(client)
        if not client.generate or (
            succeeds(client, client.generate, environment) and contents(client) == before
        ):
            return True
        print(f"{client.folder}/{client.generated} is not what the protos give")
        return False


def succeeds(client: Client, command: tuple[str, ...], environment: dict[str, str]) -> bool:
    """Runs one command in the client's folder."""
    folder = ROOT / client.folder
    ended = subprocess.run(
        command, cwd=folder, env=environment, timeout=TIMEOUT_SECONDS, check=False
    )
    return ended.returncode == 0


def contents(client: Client) -> dict[Path, bytes]:
    """The files that were generated."""
    folder = ROOT / client.folder / client.generated
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def main() -> None:
    """Runs them all and says what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[client.name for client in CLIENTS])
    only = parser.parse_args().only
    outcomes = {}
    for client in CLIENTS:
        if only in {None, client.name}:
            print(f"== {client.name}", flush=True)
            here = shutil.which(client.tool) is not None
            outcomes[client.name] = ("failed", "passed")[passes(client)] if here else "skipped"
    for name, outcome in outcomes.items():
        missing = " (there is no toolchain for it here)" if outcome == "skipped" else ""
        print(f"client for {name}: {outcome}{missing}")
    counts = [list(outcomes.values()).count(each) for each in ("passed", "failed", "skipped")]
    print("{} passed, {} failed, {} skipped".format(*counts))
    sys.exit(1 if counts[1] else 0)


if __name__ == "__main__":
    main()
