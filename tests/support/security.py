"""API keys, certificates, and calls with or without them."""

from __future__ import annotations

import hashlib
import json
import pkgutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import akin.v1
import grpc
import trustme
from akin._errors import decode
from akin._policy import credentials, make_key_metadata
from akin.v1 import (
    catalog_service_pb2,
    catalog_service_pb2_grpc,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass

from support.server import WAIT_SECONDS

ALONE = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
"""For a connection that has nothing to do with former ones."""

METHODS: list[MethodDescriptor] = [
    method
    for found in pkgutil.iter_modules(akin.v1.__path__, "akin.v1.")
    if found.name.endswith("_pb2")
    for service in import_module(found.name).DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def entry(name: str, *scopes: str, **more: object) -> dict[str, object]:
    """An entry of the file of keys; the key itself is `name` with "-key" behind it."""
    digest = hashlib.sha256(f"{name}-key".encode()).hexdigest()
    return {"name": name, "sha256": digest, "scopes": scopes, **more}


def write_keys(path: Path, *entries: dict[str, object]) -> None:
    """Puts a file of keys in the place of the former one, as an operator's tool would."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"keys": entries}))
    new.replace(path)


def code(address: str, method: MethodDescriptor, key: str | None, catalog: str = "") -> str:
    """The status of a call with an empty request, by name; "OK" if it worked."""
    named = {"catalog": catalog} if "catalog" in method.input_type.fields_by_name else {}
    request = GetMessageClass(method.input_type)(**named).SerializeToString()
    metadata = [] if key is None else [("authorization", f"Bearer {key}")]
    path = f"/{method.containing_service.full_name}/{method.name}"
    options: dict[str, Any] = {"metadata": metadata, "timeout": WAIT_SECONDS}
    with grpc.insecure_channel(address) as channel:
        try:
            if method.server_streaming and not method.client_streaming:
                list(channel.unary_stream(path, bytes, bytes)(request, **options))
            elif method.client_streaming:
                list(channel.stream_stream(path, bytes, bytes)(iter([request]), **options))
            else:
                channel.unary_unary(path, bytes, bytes)(request, **options)
        except grpc.RpcError as exc:
            return str(decode(exc).code.name)
    return "OK"


class Certificates:
    """A certificate authority, and files with what it issued, in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self._folder = folder
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def issue(
        self, name: str, host: str = "localhost", *, expired: bool = False
    ) -> tuple[Path, Path]:
        """Writes a certificate for a host and its key, over former ones of this name."""
        end = datetime.now(UTC) + timedelta(days=-1 if expired else 1)
        made = self._authority.issue_cert(host, not_after=end)
        chain, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        # Java reads keys in this form only.
        private = load_pem_private_key(made.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        public = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        for path, content in ((key, private), (chain, public)):
            new = path.with_suffix(".new")
            new.write_bytes(content)
            new.replace(path)
        return chain, key

    def tls(self, client: tuple[Path, Path] | None = None) -> akin.Tls:
        """What a client needs that trusts this authority, with a certificate of its own or not."""
        own: Sequence[bytes | None] = (
            (None, None) if client is None else [path.read_bytes() for path in client]
        )
        return akin.Tls(self.file.read_bytes(), *own)


def reached(address: str, *, api_key: str = "", tls: akin.Tls | None = None) -> str:
    """The status of one GetCatalog over a connection of its own, by name; "OK" if it worked."""
    target = f"localhost:{address.rpartition(':')[2]}"
    secured = credentials(api_key, tls)
    with (
        grpc.insecure_channel(target, ALONE)
        if secured is None
        else grpc.secure_channel(target, secured, ALONE)
    ) as channel:
        stub = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        try:
            stub.GetCatalog(
                catalog_service_pb2.GetCatalogRequest(),
                timeout=WAIT_SECONDS,
                metadata=make_key_metadata(api_key),
            )
        except grpc.RpcError as exc:
            return str(decode(exc).code.name)
    return "OK"


def until(expected: str, attempts: Iterator[str]) -> str:
    """The first outcome that is the expected one; the last one if none is."""
    last = ""
    for last in attempts:
        if last == expected:
            break
    return last
