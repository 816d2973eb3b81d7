import json

import akin
import pytest
from akin.v1 import catalog_service_pb2 as pb
from google.protobuf.message import Message
from support.recording import RecordingServer
from typer.testing import CliRunner

from service.cli.main import app

CATALOG = akin.Catalog(
    name="shoes",
    item_count=9,
    user_count=2,
    space=akin.EmbeddingSpace(provider="openrouter", model="large", dimensions=1024),
    pending_items=[
        akin.PendingItems(reason="EMBEDDING_UNAVAILABLE", message="no response", item_count=3),
        akin.PendingItems(reason="TEXT_REJECTED", message="too long", item_count=1),
    ],
    index=akin.IndexStats(memory_bytes=2_500_000),
    text_format=pb.TEXT_FORMAT_HTML,
    index_kind=pb.INDEX_KIND_MEMORY,
)


def test_catalogs_table() -> None:
    """A row has the model and counts of a catalog, with pending items of all reasons added up."""
    response = pb.ListCatalogsResponse(catalogs=[CATALOG])
    with RecordingServer({"ListCatalogs": [response]}) as server:
        output = CliRunner().invoke(app, ["catalogs", "list", "--address", server.address]).stdout
    (header,) = (line for line in output.splitlines() if line.startswith("┃"))
    (row,) = (line for line in output.splitlines() if line.startswith("│"))
    assert {
        "catalog": "shoes",
        "model": "large",
        "provider": "openrouter",
        "texts": "html",
        "index": "memory",
        "dimensions": "1024",
        "items": "9",
        "users": "2",
        "pending": "4",
        "index, MB": "2.5",
    } == dict(zip(split(header, "┃"), split(row, "│"), strict=True))


def split(line: str, border: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in line.split(border)[1:-1]]


def test_catalog_options_reach_the_server() -> None:
    """A catalog is created with the given options only, and its model is printed."""
    response = pb.CreateCatalogResponse(catalog=CATALOG)
    with RecordingServer({"CreateCatalog": [response]}) as server:
        words = ("shoes", "--dimensions", "1024", "--vectors", "int8", "--text-format", "html")
        arguments = ["catalogs", "create", *words, "--index", "shared"]
        result = CliRunner().invoke(app, [*arguments, "--address", server.address])
    request = pb.CreateCatalogRequest(
        catalog="shoes",
        embedding=pb.EmbeddingModel(dimensions=1024),
        vector_storage=pb.VECTOR_STORAGE_INT8,
        text_format=pb.TEXT_FORMAT_HTML,
        index_kind=pb.INDEX_KIND_SHARED,
    )
    assert [request] == server.requests
    assert "created shoes: large (openrouter), 1024 dimensions\n" == result.stdout


@pytest.mark.parametrize("command", ["create", "update"])
@pytest.mark.parametrize(
    ("words", "settings", "paths"),
    [
        (["--signals", "text"], pb.CatalogSettings(signals=pb.SIGNAL_MODE_TEXT), ["signals"]),
        (["--signals", "server"], pb.CatalogSettings(), ["signals"]),
        (["--new-item-boost", "0"], pb.CatalogSettings(), ["new_item_boost"]),
        (
            ["--weight", "ADD=0.5", "--weight", "LIKE=-1e2", "--new-item-boost", "2.5"],
            pb.CatalogSettings(
                interaction_weights={"ADD": 0.5, "LIKE": -100.0}, new_item_boost=2.5
            ),
            ["interaction_weights", "new_item_boost"],
        ),
    ],
)
def test_settings_reach_the_server(
    command: str, words: list[str], settings: pb.CatalogSettings, paths: list[str]
) -> None:
    """Given settings are sent, also those with a default value if a catalog is changed."""
    responses: dict[str, list[Message]] = {
        "CreateCatalog": [pb.CreateCatalogResponse(catalog=CATALOG)],
        "UpdateCatalog": [pb.UpdateCatalogResponse(catalog=CATALOG)],
    }
    with RecordingServer(responses) as server:
        arguments = ["catalogs", command, "shoes", *words, "--address", server.address]
        assert 0 == CliRunner().invoke(app, arguments).exit_code
        (request,) = server.requests
    if isinstance(request, pb.UpdateCatalogRequest):
        assert paths == sorted(request.update_mask.paths)
    assert isinstance(request, pb.UpdateCatalogRequest | pb.CreateCatalogRequest)
    assert ("shoes", settings) == (request.catalog, request.settings)


def test_changed_settings_are_printed() -> None:
    """The new settings of a catalog are printed with the weights by type."""
    settings = pb.CatalogSettings(
        signals=pb.SIGNAL_MODE_AUTO,
        interaction_weights={"VIEW": 0.2, "LIKE": 1.0, "ADD": -0.5},
        new_item_boost=1.5,
    )
    catalog = akin.Catalog(name="shoes", settings=settings)
    with RecordingServer({"UpdateCatalog": [pb.UpdateCatalogResponse(catalog=catalog)]}) as server:
        words = ["catalogs", "update", "shoes", "--new-item-boost", "1.5"]
        result = CliRunner().invoke(app, [*words, "--address", server.address])
        as_json = CliRunner().invoke(app, [*words, "--json", "--address", server.address])
    expected = "signals auto, new item boost 1.5, weights ADD -0.5, LIKE 1, VIEW 0.2"
    assert f"updated shoes: {expected}\n" == result.stdout
    assert "SIGNAL_MODE_AUTO" == json.loads(as_json.stdout)["settings"]["signals"]


@pytest.mark.parametrize("command", ["create", "update"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weight", "LIKE"], "must have the form TYPE=NUMBER, not LIKE"),
        (["--weight", "LIKE="], "must have the form TYPE=NUMBER, not LIKE="),
        (["--weight", "LIKE=high"], "must have the form TYPE=NUMBER, not LIKE=high"),
        (["--weight", "LIKE=1=2"], "must have the form TYPE=NUMBER, not LIKE=1=2"),
        (["--weight", "LIKE=1", "--weight", "LIKE=2"], "has LIKE twice"),
        (["--signals", "both"], "'both' is not one of"),
    ],
)
def test_invalid_settings_are_reported(command: str, words: list[str], message: str) -> None:
    """A weight that is no number, and a type with two weights, are refused without a call."""
    result = CliRunner().invoke(app, ["catalogs", command, "shoes", *words])
    assert 2 == result.exit_code
    assert message in " ".join(result.stderr.replace("\u2502", "").split())


def test_an_update_without_settings_is_refused() -> None:
    """A command that changes nothing is an error, and no call is sent."""
    result = CliRunner().invoke(app, ["catalogs", "update", "shoes"])
    assert 2 == result.exit_code
    assert "give --signals, --weight or --new-item-boost" in result.stderr


def test_deleting_asks_for_confirmation() -> None:
    """A catalog is deleted only after a confirmation, or with --yes."""
    responses: dict[str, list[Message]] = {"GetCatalog": [pb.GetCatalogResponse(catalog=CATALOG)]}
    with RecordingServer(responses) as server:
        words = ["catalogs", "delete", "shoes", "--address", server.address]
        refused = CliRunner().invoke(app, words, input="n\n")
        assert [pb.GetCatalogRequest(catalog="shoes")] == server.requests
        confirmed = CliRunner().invoke(app, [*words, "--yes"])
    assert "Delete the catalog shoes with 9 items? [y/N]" in refused.stdout
    assert (1, 0) == (refused.exit_code, confirmed.exit_code)
    assert pb.DeleteCatalogRequest(catalog="shoes") == server.requests[-1]
    assert "deleted shoes\n" == confirmed.stdout
