import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import service

ROOT = Path(service.__file__).parent

# Aggregates: a file of this name holds the same thing in each folder, as a value, as rows, as a use
# case or as messages.
AGGREGATES = {
    "analyses",
    "boosts",
    "catalog_settings",
    "catalogs",
    "clusters",
    "duplicates",
    "filters",
    "generations",
    "interactions",
    "items",
    "outliers",
    "recommendations",
    "reembedding",
    "shared_indexes",
    "stats",
    "usage",
    "users",
    "vectors",
}

# Files of the same role in two folders: the command for what the other one does, or the errors of a
# folder beside those of the service.
SAME_ROLE = {"backup", "errors", "import_stream", "status", "vacuum"}

# Ports with the name of the store that implements them.
PORTS = {"VectorStore"}


def definitions(tree: ast.Module) -> Iterator[str]:
    """The public classes, functions, constants and aliases of a module."""
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names = [name]
            case ast.AsyncFunctionDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case ast.Assign(targets=targets):
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


def repeated(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: modules for name, modules in places.items() if len(modules) > 1}


def test_file_name_says_one_thing() -> None:
    """A file name occurs once in the service, or names the same thing or role in each folder."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        if path.stem != "__init__":
            places[path.stem].append(str(path.relative_to(ROOT)))
    assert AGGREGATES | SAME_ROLE == repeated(places).keys()


def test_public_name_says_one_thing() -> None:
    """A public name is defined once in the service; a port may share the name of its store."""
    places: dict[str, list[str]] = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for name in definitions(ast.parse(path.read_text())):
            places[name].append(str(path.relative_to(ROOT)))
    assert PORTS == repeated(places).keys()


def test_definitions_are_found() -> None:
    """Classes, functions, constants and annotated names count; private and nested ones do not."""
    source = "A = 1\nB: int = 2\n_c = 3\nclass D:\n    e = 4\ndef f(): ...\nasync def g(): ..."
    assert ["A", "B", "D", "f", "g"] == list(definitions(ast.parse(source)))
