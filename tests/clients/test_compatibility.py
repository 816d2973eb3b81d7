import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from akin.v1 import (
    analysis_service_pb2,
    catalog_service_pb2,
    embedding_usage_pb2,
    filter_pb2,
    interaction_pb2,
    interaction_service_pb2,
    item_pb2,
    recommender_service_pb2,
    user_pb2,
)
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

PROTOS = Path(__file__).parents[2] / "protos"
RELEASED = PROTOS / "released"
BUF = Path(sys.executable).with_name("buf")
FILES = (
    analysis_service_pb2,
    catalog_service_pb2,
    embedding_usage_pb2,
    filter_pb2,
    interaction_pb2,
    interaction_service_pb2,
    item_pb2,
    recommender_service_pb2,
    user_pb2,
)
MESSAGES = {
    message.full_name: message
    for file in FILES
    for message in file.DESCRIPTOR.message_types_by_name.values()
}
# The bytes of a message and the same as JSON, by release and message. A message with a oneof has
# one entry for each choice, named MESSAGE#CHOICE. A release never changes.
WIRE: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).with_name("wire.json")).read_text()
)


def find_breaking_changes(protos: Path) -> list[str]:
    """The changes that break clients of a release, one line each."""
    lines = []
    for image in sorted(RELEASED.glob("*.binpb")):
        buf = subprocess.run(
            [BUF, "breaking", "--against", image],
            cwd=protos,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines += buf.stdout.splitlines()
        assert bool(buf.returncode) == bool(buf.stdout), buf.stderr
    return lines


def test_no_release_is_broken() -> None:
    """Clients of every release keep working with the current contract."""
    assert list(RELEASED.glob("*.binpb"))
    assert [] == find_breaking_changes(PROTOS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string item_id = 1;", "string identity = 1;"),
        ("bool require_indexed = 3;", "bool require_indexed = 30;"),
        ("rpc GetUser(GetUserRequest) returns (GetUserResponse);", ""),
        ("int32 limit = 6;", "string limit = 6;"),
    ],
)
def test_a_breaking_change_is_found(tmp_path: Path, before: str, after: str) -> None:
    """Renamed and renumbered fields, changed types and removed methods are reported."""
    changed = tmp_path / "protos"
    shutil.copytree(PROTOS, changed)
    path = changed / "akin/v1/recommender_service.proto"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    assert find_breaking_changes(changed)


@pytest.mark.parametrize("release", WIRE)
def test_bytes_of_a_release_keep_their_meaning(release: str) -> None:
    """Messages that a client of any release sends or has stored parse to the same values."""
    for name, wire in WIRE[release].items():
        message_class = GetMessageClass(MESSAGES[name.partition("#")[0]])
        message = message_class.FromString(base64.b64decode(wire["base64"]))
        assert wire["json"] == MessageToDict(message, preserving_proto_field_name=True)
