import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import service

ROOT = Path(service.__file__).parent

FOLDERS: dict[str, set[str]] = {
    "domain": set(),
    "errors | files": {"domain"},
    "extras": set(),
    "environment": {"domain"},
    "setting_types": {"environment"},
    "settings": {"setting_types"},
    "settings_loading": {"settings"},
    "telemetry": {"domain", "errors", "extras", "files"},
    "storage | embedding | index": {"telemetry"},
    "recommend | analysis": {"storage", "embedding", "index"},
    "catalog": {"recommend", "analysis"},
    "api | background": {"catalog"},
    "http": {"api"},
    "console": {"errors"},
    "server": {"http", "console", "background"},
    "cli": {"server", "settings_loading"},
    "__main__": {"cli"},
}
"""What each folder may import directly; it may also import what those may, and settings."""

HOMES: dict[str, set[str]] = {
    "grpc": {"api"},
    "httpx": {"embedding"},
    "faiss": {"index"},
    "sqlite3": {"storage"},
    "psycopg": {"storage"},
    "psycopg_pool": {"storage"},
    "lxml": {"domain"},
    "pydantic_settings": {"settings"},
    "prometheus_client": {"telemetry"},
    "starlette": {"http"},
    "uvicorn": {"http"},
    "qdrant_client": {"cli", "index"},
    "chromadb": {"cli"},
    "typer": {"cli"},
}
"""The only folders that may import a library."""

ENVIRONMENT = {"environment", "settings", "cli.temporary_server"}
"""Settings read the environment; a temporary server inherits the environment of its command."""


def modules() -> list[str]:
    paths = (path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py"))
    names = (".".join(path.parts).removesuffix(".__init__") for path in paths)
    return sorted(name for name in names if name != "__init__")


def source(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


def allowed_folders(folder: str) -> set[str]:
    """Every folder that `folder` may import, itself included."""
    direct = next(below for names, below in FOLDERS.items() if folder in names.split(" | "))
    return {folder, "settings"}.union(*map(allowed_folders, direct))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Everything imported, in full: `from a import b` is a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from (f"{start}.{alias.name}" for alias in node.names)


def uses_environment(tree: ast.AST) -> bool:
    readers = {"environ", "environb", "getenv"}
    return any(
        (isinstance(node, ast.Attribute) and node.attr in readers)
        or (isinstance(node, ast.alias) and node.name in readers)
        for node in ast.walk(tree)
    )


def breaches(module: str, text: str) -> Iterator[str]:
    """What a module imports or uses against the rules."""
    tree = ast.parse(text)
    folder = module.partition(".")[0]
    for imported in imported_names(tree):
        first, _, rest = imported.partition(".")
        target = rest.partition(".")[0]
        if not first:
            yield f"{module} imports {imported} by a relative path"
        elif first == "service" and target not in allowed_folders(folder):
            yield f"{module} imports {target}, which is not below {folder}"
        elif folder not in HOMES.get(first, {folder}):
            yield f"{module} imports {first}, whose home is {' or '.join(sorted(HOMES[first]))}"
    if uses_environment(tree) and module not in ENVIRONMENT:
        yield f"{module} uses the environment"


@pytest.mark.parametrize("module", modules())
def test_module_keeps_the_rules(module: str) -> None:
    """Each module imports only folders below its own, and libraries only in their home."""
    assert [] == list(breaches(module, source(module)))


def test_every_folder_has_its_place() -> None:
    """The rules name exactly the folders and files at the root of the service, each once."""
    named = [name for names in FOLDERS for name in names.split(" | ")]
    assert sorted(named) == sorted({name.partition(".")[0] for name in modules()})


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("domain.items", "from service import errors"),
        ("domain.items", "import service.errors"),
        ("storage.items", "from service.embedding.embedder import Vector"),
        ("index.follower", "def f():\n    from service.storage import Store"),
        ("catalog.items", "from service.api.call import Call"),
        ("recommend.recommender", "import grpc"),
        ("catalog.items", "import sqlite3 as database"),
        ("recommend.recommender", "import faiss"),
        ("catalog.items", "from qdrant_client import models"),
        ("server.app", "import os\nos.environ['A']"),
        ("telemetry.logging", "from os import getenv"),
        ("storage.items", "from . import users"),
    ],
)
def test_breach_is_reported(module: str, text: str) -> None:
    """Each rule catches code that breaks it."""
    assert 1 == len(list(breaches(module, text)))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("domain.validation", "import json\nfrom service.domain import limits"),
        ("storage.items", "import sqlite3\nfrom service import errors"),
        ("cli.import_", "from service.storage import backup"),
        ("cli.import_", "from qdrant_client import models"),
        ("index.item_index", "from qdrant_client import models"),
        ("settings", "import os\nos.environ"),
    ],
)
def test_allowed_import_is_no_breach(module: str, text: str) -> None:
    """Code that keeps the rules passes."""
    assert [] == list(breaches(module, text))
