"""Requests that write catalogs and re-embed them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf import field_mask_pb2

from faults.model import Attempt, CatalogContent, Key
from faults.writer import CALL_SECONDS, Writer

TEMPLATES = ("{text}", "passage: {text}", "item: {text}", "about: {text}")

SWITCHED = "REEMBEDDING_NOT_COMMITTED"


def make_model(template: str) -> pb.EmbeddingModel:
    """Return the model of the server's settings with another template, also for queries."""
    return pb.EmbeddingModel(template=template, query_template=template)


def create_catalog(writer: Writer) -> None:
    """Create the catalog of the writer, or fail because it exists."""
    name = writer.own_catalog
    key = Key(name, "", "")
    if writer.recorder.is_uncertain(key):
        return
    present = writer.get_catalog(name)
    template = writer.rng.choice(TEMPLATES)
    request = pb.CreateCatalogRequest(catalog=name, embedding=make_model(template))
    content = CatalogContent(template) if present is None else present
    reasons = [] if present is None else ["CATALOG_EXISTS"]
    stub = writer.stubs.catalogs.CreateCatalog
    writer.call(stub, request, [Attempt(key, content)], _read_nothing, *reasons)


def delete_catalog(writer: Writer) -> None:
    """Delete the catalog of the writer with everything in it."""
    key = Key(writer.own_catalog, "", "")
    if writer.get_catalog(key.catalog) is None or writer.rng.random() < 0.7:
        return
    request = pb.DeleteCatalogRequest(catalog=key.catalog)
    stub = writer.stubs.catalogs.DeleteCatalog
    writer.call(stub, request, [Attempt(key, None)], _read_nothing)


def update_catalog(writer: Writer) -> None:
    """Change a setting of a catalog."""
    name = _choose_catalog(writer)
    catalog = writer.get_catalog(name)
    if catalog is None:
        return
    boost = float(writer.rng.randrange(11))
    settings = pb.CatalogSettings(new_item_boost=boost, signals=pb.SIGNAL_MODE_TEXT)
    mask = field_mask_pb2.FieldMask(paths=["new_item_boost"])
    request = pb.UpdateCatalogRequest(catalog=name, settings=settings, update_mask=mask)
    attempt = Attempt(Key(name, "", ""), replace(catalog, boost=boost))
    writer.call(writer.stubs.catalogs.UpdateCatalog, request, [attempt], _read_nothing)


def start_reembedding(writer: Writer) -> None:
    """Start to re-embed a catalog."""
    name = _choose_catalog(writer)
    catalog = writer.get_catalog(name)
    if catalog is None or catalog.next or catalog.previous:
        return
    template = writer.rng.choice([text for text in TEMPLATES if text != catalog.serving])
    request = pb.StartReembeddingRequest(catalog=name, embedding=make_model(template))
    attempt = Attempt(Key(name, "", ""), replace(catalog, next=template))
    writer.call(writer.stubs.catalogs.StartReembedding, request, [attempt], _read_nothing)


def cancel_reembedding(writer: Writer) -> None:
    """Cancel a re-embedding, which may have switched by now."""
    name = _choose_catalog(writer)
    catalog = writer.get_catalog(name)
    if catalog is None or not catalog.next or writer.rng.random() < 0.7:
        return
    request = pb.CancelReembeddingRequest(catalog=name)
    attempt = Attempt(Key(name, "", ""), replace(catalog, next=""))
    group = writer.recorder.begin("CancelReembedding", [attempt])
    try:
        writer.stubs.catalogs.CancelReembedding(request, timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        writer.note_error(group, exc, SWITCHED)
    else:
        writer.recorder.store(group, [0])


def commit_reembedding(writer: Writer) -> None:
    """Drop the previous generation of a catalog."""
    name, catalog = _find_switched(writer)
    if catalog is not None:
        request = pb.CommitReembeddingRequest(catalog=name)
        attempt = Attempt(Key(name, "", ""), replace(catalog, previous=""))
        writer.call(writer.stubs.catalogs.CommitReembedding, request, [attempt], _read_nothing)


def roll_back_reembedding(writer: Writer) -> None:
    """Make the previous generation of a catalog serve again."""
    name, catalog = _find_switched(writer)
    if catalog is not None:
        request = pb.RollbackReembeddingRequest(catalog=name)
        attempt = Attempt(
            Key(name, "", ""), replace(catalog, serving=catalog.previous, previous="")
        )
        writer.call(writer.stubs.catalogs.RollbackReembedding, request, [attempt], _read_nothing)


def reindex(writer: Writer) -> None:
    """Change a catalog to the index that it has, which has no effect."""
    name = _choose_catalog(writer)
    catalog = writer.get_catalog(name)
    if catalog is not None:
        request = pb.ReindexRequest(catalog=name, index_kind=pb.INDEX_KIND_MEMORY)
        attempt = Attempt(Key(name, "", ""), catalog)
        writer.call(writer.stubs.catalogs.Reindex, request, [attempt], _read_nothing)


def _choose_catalog(writer: Writer) -> str:
    """Return a catalog that no other writer re-embeds."""
    names = [writer.own_catalog] + ["default"] * (writer.number == 0)
    return writer.rng.choice(names)


def _find_switched(writer: Writer) -> tuple[str, CatalogContent | None]:
    """Return a catalog whose new generation serves, after looking whether it does; else None."""
    name = _choose_catalog(writer)
    catalog = writer.get_catalog(name)
    if catalog is None or not (catalog.next or catalog.previous):
        return name, None
    if catalog.next:
        request = pb.GetReembeddingRequest(catalog=name)
        try:
            response = writer.stubs.catalogs.GetReembedding(request, timeout=CALL_SECONDS)
        except grpc.RpcError:
            return name, None
        if response.reembedding.state != pb.REEMBEDDING_STATE_SERVING:
            return name, None
        writer.recorder.switch(name, catalog)
    return name, writer.get_catalog(name)


def _read_nothing(_response: Any) -> list[int]:
    return [0]
