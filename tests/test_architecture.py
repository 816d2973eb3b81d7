import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import service

ROOT = Path(service.__file__).parent

LAYERS = (
    {"domain", "settings", "log"},
    {"errors"},
    {"storage", "embedding", "index"},
    {"view", "vectoriser", "rankings", "selection", "layout", "words"},
    {"snapshots", "pooling", "prior", "access", "clustering"},
    {"indexer"},
    {"upkeep", "layers", "population"},
    {"tastes", "neighbours"},
    {"reasons", "candidates", "repetitions"},
    {"duplicates", "outliers", "clusters", "labels", "passages"},
    {
        "analyst",
        "catalogue",
        "recommender",
        "pending",
        "filling",
        "ledger",
        "metrics",
        "tracing",
    },
    {"watch", "provider"},
    {"engines"},
    {"catalogs"},
    {"assembly", "directory", "reembedding"},
    {"rpc"},
    {"app"},
    {"supervisor", "copies"},
    {"cli"},
    {"__main__"},
)
"""Lowest first: a part imports itself and what lies below, never its neighbours."""

ONLY = {
    "rpc": {
        "rpc",
        "access",
        "analyst",
        "catalogs",
        "catalogue",
        "directory",
        "domain",
        "errors",
        "recommender",
        "reembedding",
    },
    "cli": {
        "cli",
        "supervisor",
        "copies",
        "access",
        "settings",
        "log",
        "errors",
        "domain",
        "embedding",
    },
}
"""Parts that may not even import everything below them."""

HOMES = {
    "grpc": {"rpc"},
    "grpc_health": {"rpc"},
    "grpc_reflection": {"rpc"},
    "google": {"rpc", "cli", "watch"},
    "akin": {"rpc", "cli"},
    "httpx": {"embedding"},
    "prometheus_client": {"metrics"},
    "opentelemetry": {"tracing"},
    "stamina": {"embedding"},
    "model2vec": {"embedding"},
    "faiss": {"index"},
    "sqlite3": {"storage"},
    "pydantic_settings": {"settings"},
    "threadpoolctl": {"app"},
    "typer": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"cli"},
}
"""The parts that may import a library."""

ENVIRONMENT = {"settings", "cli.servers"}
"""The settings read the environment; commands hand their own on to the servers they start."""

CONCRETE = {
    "LocalEmbedder": "embedding.local",
    "OpenRouterEmbedder": "embedding.openrouter",
    "TieredIndex": "index.faiss_tiers",
}
"""Classes that only their own module and the wiring may name."""

WIRING = {"app", "assembly", "provider"}


def modules() -> list[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def source(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def imports(tree: ast.AST) -> Iterator[str]:
    """Everything imported, in full: `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def names(tree: ast.AST) -> Iterator[str]:
    """Every name and attribute, imported ones among them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def layer(part: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def breaches(module: str, text: str) -> Iterator[str]:
    """What a module of ours does against the rules."""
    tree = ast.parse(text)
    own = module.partition(".")[0]
    for imported in imports(tree):
        first, _, rest = imported.partition(".")
        part = rest.partition(".")[0]
        if not first:
            yield f"{module} imports {imported} by a relative path"
        elif first == "service" and part != own and layer(part) >= layer(own):
            yield f"{module} imports {part}, which is not below {own}"
        elif first == "service" and part not in ONLY.get(own, {part}):
            yield f"{module} imports {part}, which {own} must not"
        elif own not in HOMES.get(first, {own}):
            yield f"{module} imports {first}, whose home is elsewhere"
    used = set(names(tree))
    if used & {"environ", "environb", "getenv"} and module not in ENVIRONMENT:
        yield f"{module} uses the environment"
    for name in used & set(CONCRETE):
        if module not in {*WIRING, CONCRETE[name]}:
            yield f"{module} names {name}"


@pytest.mark.parametrize("module", [name for name in modules() if name != "__init__"])
def test_the_rules_hold(module: str) -> None:
    """Each module imports only what lies below it, and libraries only at their home."""
    assert [] == list(breaches(module, source(module)))


def test_every_part_has_one_layer() -> None:
    """The layers name exactly the parts that there are, each once."""
    named = [part for parts in LAYERS for part in parts]
    assert sorted(named) == sorted({name.partition(".")[0] for name in modules()} - {"__init__"})


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("domain.values", "from service import errors"),
        ("domain.values", "import service.errors"),
        ("storage.store", "from service.embedding.base import Vector"),
        ("embedding.cache", "from service.index import base"),
        ("index.base", "def f():\n    from service.storage import Store"),
        ("catalogue", "from service.recommender import Recommender"),
        ("indexer", "from service.catalogue import Catalogue"),
        ("rpc.server", "from service.storage import Store"),
        ("cli.status", "from service.storage import Store"),
        ("recommender", "import grpc"),
        ("app", "from google.protobuf import message"),
        ("domain.values", "from akin.v1 import item_pb2"),
        ("catalogue", "import sqlite3 as database"),
        ("vectoriser", "import httpx"),
        ("view", "import faiss"),
        ("app", "import os\nos.environ['A']"),
        ("log", "from os import getenv"),
        ("indexer", "from service.index.faiss_tiers import TieredIndex"),
        ("vectoriser", "import service.embedding.local as local\nlocal.LocalEmbedder()"),
        ("storage.items", "from . import users"),
    ],
)
def test_a_breach_is_found(module: str, text: str) -> None:
    """Each of the rules catches code that breaks it."""
    assert 1 == len(list(breaches(module, text)))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("domain.checks", "import json\nfrom service.domain import limits"),
        ("storage.store", "import sqlite3\nfrom service import errors"),
        ("rpc.convert", "from akin.v1 import item_pb2\nfrom google.protobuf import struct_pb2"),
        ("app", "from service.index.faiss_tiers import TieredIndex\nTieredIndex(3)"),
        ("settings", "import os\nos.environ"),
    ],
)
def test_what_is_allowed_is_no_breach(module: str, text: str) -> None:
    """Code that keeps the rules passes."""
    assert [] == list(breaches(module, text))
