import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).resolve().parents[2] / "clients" / "python"


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*.py*")
        if "__pycache__" not in path.parts
    }


def test_stubs_are_those_of_the_protos(tmp_path: Path) -> None:
    """The committed stubs are, byte for byte, what the protos give."""
    subprocess.run([sys.executable, CLIENT / "generate.py", tmp_path], check=True, timeout=60)
    generated = files(tmp_path / "akin" / "v1")
    committed = files(CLIENT / "akin" / "v1")
    assert "recommender_service_pb2.py" in generated
    assert generated.keys() == committed.keys()
    assert [] == [name for name, content in generated.items() if content != committed[name]]
