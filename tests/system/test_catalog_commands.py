import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.server import RunningServer
from typer.testing import CliRunner, Result

from service.cli.main import app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("commands")) as running:
        yield running


def akin(server: RunningServer, *words: str, given: str = "") -> Result:
    """What becomes of a command."""
    return CliRunner().invoke(app, [*words, "--address", server.address], input=given)


def told(server: RunningServer, *words: str, given: str = "") -> Any:
    """The JSON that a command prints."""
    done = akin(server, *words, "--json", given=given)
    assert 0 == done.exit_code, done.stderr
    return json.loads(done.stdout)


def test_catalogs_from_the_command_line(server: RunningServer) -> None:
    """A catalog is made with its options, filled, shown, and deleted once that is confirmed."""
    made = told(
        server, "catalogs", "create", "shoes", "--template", "shoe: {text}", "--vectors", "float16"
    )
    assert "shoe: {text}" == made["space"]["template"]
    assert "VECTOR_STORAGE_FLOAT16" == made["vector_storage"]
    line = json.dumps({"id": "a", "text": "red running shoes"})
    assert 1 == told(server, "--catalog", "shoes", "import", "-", given=line)["items"]
    shown = {each["name"]: each for each in told(server, "catalogs", "list")}
    assert ("1", None) == (shown["shoes"]["item_count"], shown["default"].get("item_count"))
    table = akin(server, "catalogs", "list").stdout
    assert "shoes" in table
    assert "static-minilm" in table
    found = told(server, "--catalog", "shoes", "recommend", "--text", "shoes")
    assert ["a"] == [each["item_id"] for each in found["recommendations"]]
    assert 1 == akin(server, "catalogs", "delete", "shoes", given="n\n").exit_code
    assert "shoes is deleted" in akin(server, "catalogs", "delete", "shoes", given="y\n").stdout
    assert ["default"] == [each["name"] for each in told(server, "catalogs", "list")]
    refused = akin(server, "--catalog", "shoes", "status")
    assert (1, "akin: NOT_FOUND: there is no such catalog\n") == (
        refused.exit_code,
        refused.stderr,
    )


def test_another_model_from_the_command_line(server: RunningServer, tmp_path: Path) -> None:
    """An estimate, the move itself, how it stands, the way back, and the end."""
    file = tmp_path / "items.jsonl"
    lines = (json.dumps({"id": str(n), "text": f"text of number {n}"}) for n in range(50))
    file.write_text("\n".join(lines))
    told(server, "import", str(file))
    new = ("--template", "about {text}")
    estimate = told(server, "reembed", "--estimate", *new)
    assert ("50", "about {text}") == (estimate["texts"], estimate["space"]["template"])
    assert "50 texts, of which 0 are embedded" in akin(server, "reembed", "--estimate", *new).stdout
    assert "REEMBEDDING_STATE_SWITCHED" == told(server, "reembed", *new)["state"]
    assert "switched: 50 of 50 items" in akin(server, "reembed", "--status").stdout
    assert "the former model serves" in akin(server, "reembed", "--back").stdout
    none = akin(server, "reembed", "--status")
    assert (1, "akin: NOT_FOUND: the catalog is not being re-embedded\n") == (
        none.exit_code,
        none.stderr,
    )
    again = told(server, "reembed", *new, "--no-wait")
    assert "about {text}" == again["to_space"]["template"]
    moved = told(server, "reembed", "--status")
    while moved["state"] != "REEMBEDDING_STATE_SWITCHED":
        moved = told(server, "reembed", "--status")
    assert "are dropped" in akin(server, "reembed", "--finish").stdout
    assert 2 == akin(server, "reembed", "--finish", "--back").exit_code
