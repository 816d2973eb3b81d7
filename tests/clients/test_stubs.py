import json
import subprocess
import sys
from pathlib import Path

from akin.v1 import analysis_service_pb2, catalog_service_pb2, recommender_service_pb2

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "python"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.iterdir()
        if path.suffix in {".py", ".pyi", ".json"}
    }


def test_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    """The committed stubs are, byte for byte, what the protos give."""
    subprocess.run([sys.executable, CLIENT / "generate.py", tmp_path], check=True, timeout=60)
    generated = files(tmp_path / "akin" / "v1")
    committed = files(CLIENT / "akin" / "v1")
    assert "recommender_service_pb2.py" in generated
    assert generated.keys() == committed.keys()
    assert [] == [name for name, content in generated.items() if content != committed[name]]


def test_every_unary_method_is_retried() -> None:
    """The configuration for clients names each unary method of each service, and no other."""
    unary = {
        (service.full_name, method.name)
        for file in (analysis_service_pb2, catalog_service_pb2, recommender_service_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    }
    config = json.loads((CLIENT / "akin/v1/service_config.json").read_text())
    named = [(e["service"], e["method"]) for each in config["methodConfig"] for e in each["name"]]
    assert sorted(unary) == sorted(named)
