"""Writes docs/api.md, the reference of the API, from the comments in protos/.

python tools/make_api.py [FILE]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos"
TARGET = ROOT / "docs/api.md"
PACKAGE = ".akin.v1."

# Where descriptor.proto keeps what: the numbers of its fields, as paths of comments name them.
MESSAGES, ENUMS, SERVICES, PARTS = 4, 5, 6, 2

HEAD = """# API reference

Made from the comments in [protos/akin/v1](../protos/akin/v1) by `make docs`; change them there.
"""


def files() -> list[FileDescriptorProto]:
    """The contract's files with their comments, services first."""
    paths = sorted(str(path) for path in PROTOS.rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as made:
        arguments = [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={Path(protoc.__file__).parent / '_proto'}",
            "--include_source_info",
            f"--descriptor_set_out={made.name}",
            *paths,
        ]
        if protoc.main(arguments) != 0:
            raise SystemExit(1)
        found = FileDescriptorSet.FromString(Path(made.name).read_bytes()).file
    return sorted(found, key=lambda file: (not file.service, file.name))


class Comments:
    """What is written above each part of one file."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self._by_path = {
            tuple(each.path): each.leading_comments for each in file.source_code_info.location
        }

    def at(self, *path: int) -> list[str]:
        """The paragraphs above a part, each on one line."""
        text = self._by_path.get(path, "")
        return [" ".join(part.split()) for part in text.strip().split("\n\n") if part.strip()]


def link(name: str) -> str:
    """A message's or enum's name, as a link if it is one of ours."""
    short = name.rpartition(".")[2]
    return f"[{short}](#{short.lower()})" if name.startswith(PACKAGE) else short


def kind(field: FieldDescriptorProto) -> str:
    """A field's type, for people."""
    named = field.type in {field.TYPE_MESSAGE, field.TYPE_ENUM}
    name = link(field.type_name) if named else field.Type.Name(field.type)[5:].lower()
    if field.label == field.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def service(each: ServiceDescriptorProto, number: int, comments: Comments) -> Iterator[str]:
    """A service and its methods."""
    yield f"\n## {each.name}\n"
    yield from (f"{part}\n" for part in comments.at(SERVICES, number))
    for position, method in enumerate(each.method):
        streams = [
            "stream " if on else "" for on in (method.client_streaming, method.server_streaming)
        ]
        yield f"\n### {each.name}.{method.name}\n"
        yield f"{streams[0]}{link(method.input_type)} → {streams[1]}{link(method.output_type)}\n"
        yield from (f"{part}\n" for part in comments.at(SERVICES, number, PARTS, position))


def message(each: DescriptorProto, number: int, comments: Comments) -> Iterator[str]:
    """A message and its fields."""
    yield f"\n### {each.name}\n"
    yield from (f"{part}\n" for part in comments.at(MESSAGES, number))
    if not each.field:
        return
    yield "| field | type | meaning |\n|---|---|---|"
    for position, field in enumerate(each.field):
        alone = field.proto3_optional or not field.HasField("oneof_index")
        choice = "" if alone else f" (one of `{each.oneof_decl[field.oneof_index].name}`)"
        meaning = " ".join(comments.at(MESSAGES, number, PARTS, position)).replace("|", "\\|")
        yield f"| `{field.name}` = {field.number} | {kind(field)}{choice} | {meaning} |"


def enum(each: EnumDescriptorProto, number: int, comments: Comments) -> Iterator[str]:
    """An enum and its values."""
    yield f"\n### {each.name}\n"
    yield from (f"{part}\n" for part in comments.at(ENUMS, number))
    yield "| value | meaning |\n|---|---|"
    for position, value in enumerate(each.value):
        meaning = " ".join(comments.at(ENUMS, number, PARTS, position))
        yield f"| `{value.name}` = {value.number} | {meaning} |"


def reference() -> str:
    """The whole page."""
    services, types = [HEAD], ["\n## Messages\n"]
    for file in files():
        comments = Comments(file)
        for number, one in enumerate(file.service):
            services += service(one, number, comments)
        for number, two in enumerate(file.message_type):
            types += message(two, number, comments)
        for number, three in enumerate(file.enum_type):
            types += enum(three, number, comments)
    return "\n".join([*services, *types]) + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET).write_text(reference())
