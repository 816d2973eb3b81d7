"""Generates the Python stubs of protos/ into this folder, or into the folder given as argument.

The configuration for clients, which lies beside the protos, is copied along.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
PROTOS = HERE.parents[1] / "protos"
CONFIG = "akin/v1/service_config.json"
WELL_KNOWN_TYPES = Path(protoc.__file__).parent / "_proto"


def generate(target: Path) -> None:
    """Writes akin/v1/*_pb2*.py and .pyi, and service_config.json, below `target`.

    Raises:
        SystemExit: protoc refused the protos; it has said why on standard error.
    """
    # The plugins are installed beside the interpreter, which need not be on the PATH.
    plugins = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={WELL_KNOWN_TYPES}",
        f"--plugin={plugins / 'protoc-gen-mypy'}",
        f"--plugin={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--mypy_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_grpc_out={target}",
        *(str(path) for path in sorted(PROTOS.rglob("*.proto"))),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit(1)
    shutil.copy(PROTOS / CONFIG, target / CONFIG)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
