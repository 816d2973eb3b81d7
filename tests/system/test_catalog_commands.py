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


def run(server: RunningServer, *words: str, stdin: str = "") -> Result:
    """Return the result of a command."""
    return CliRunner().invoke(app, [*words, "--address", server.address], input=stdin)


def run_json(server: RunningServer, *words: str, stdin: str = "") -> Any:
    """Return the JSON that a command prints."""
    result = run(server, *words, "--json", stdin=stdin)
    assert 0 == result.exit_code, result.stderr
    return json.loads(result.stdout)


def test_catalogs_from_the_command_line(server: RunningServer) -> None:
    """A catalog is created with its options, filled, listed, and deleted after a confirmation."""
    created = run_json(
        server, "catalogs", "create", "shoes", "--template", "shoe: {text}", "--vectors", "float16"
    )
    assert "shoe: {text}" == created["space"]["template"]
    assert "VECTOR_STORAGE_FLOAT16" == created["vector_storage"]
    line = json.dumps({"id": "a", "text": "red running shoes"})
    assert 1 == run_json(server, "--catalog", "shoes", "import", "-", stdin=line)["items"]
    listed = {catalog["name"]: catalog for catalog in run_json(server, "catalogs", "list")}
    assert ("1", None) == (listed["shoes"]["item_count"], listed["default"].get("item_count"))
    table = run(server, "catalogs", "list").stdout
    assert "shoes" in table
    assert "static-minilm" in table
    response = run_json(server, "--catalog", "shoes", "recommend", "--text", "shoes")
    assert ["a"] == [item["item_id"] for item in response["recommendations"]]
    assert 1 == run(server, "catalogs", "delete", "shoes", stdin="n\n").exit_code
    assert "deleted shoes" in run(server, "catalogs", "delete", "shoes", stdin="y\n").stdout
    names = [catalog["name"] for catalog in run_json(server, "catalogs", "list")]
    assert ["default"] == names
    missing = run(server, "--catalog", "shoes", "status")
    assert (1, "akin: NOT_FOUND: catalog 'shoes' does not exist\n") == (
        missing.exit_code,
        missing.stderr,
    )


def test_settings_from_the_command_line(server: RunningServer) -> None:
    """A catalog is created with settings and changed, and the server explains invalid ones."""
    words = ("--signals", "text", "--weight", "SAVE=0.5", "--new-item-boost", "2")
    created = run_json(server, "catalogs", "create", "learning", *words)["settings"]
    assert ("SIGNAL_MODE_TEXT", 2.0) == (created["signals"], created["new_item_boost"])
    assert 0.5 == created["interaction_weights"]["SAVE"]
    updated = run_json(server, "catalogs", "update", "learning", "--signals", "server")["settings"]
    assert {**created, "signals": None} == {"signals": None, **updated}
    invalid = run(server, "catalogs", "update", "learning", "--weight", "save=1")
    assert 1 == invalid.exit_code
    assert 'settings.interaction_weights["save"]' in invalid.stderr
    assert "deleted" in run(server, "catalogs", "delete", "learning", "--yes").stdout


def test_items_and_users_from_the_command_line(server: RunningServer, tmp_path: Path) -> None:
    """Users are imported beside items, and a rejected line of either does not affect the others."""
    file = tmp_path / "mixed.jsonl"
    lines: list[dict[str, Any]] = []
    for number in range(300):
        lines += (
            {"user_id": f"user-{number}", "liked": [f"mixed-{number}"]},
            {"id": f"mixed-{number}", "text": f"mixed text of number {number}"},
        )
    lines[200] = {"user_id": "x" * 300, "liked": ["mixed-0"]}
    lines[301] = {"id": "blank", "text": " "}
    file.write_text("\n".join(map(json.dumps, lines)))
    run_json(server, "catalogs", "create", "mixed")
    result = run(server, "--catalog", "mixed", "import", str(file), "--json")
    summary = json.loads(result.stdout)
    assert (1, 299, 299) == (result.exit_code, summary["items"], summary["users"])
    assert [(201, "INVALID_REQUEST"), (302, "INVALID_REQUEST")] == [
        (failure["line"], failure["reason"]) for failure in summary["failures"]
    ]
    status = run_json(server, "--catalog", "mixed", "status")["catalog"]
    assert ("299", "299") == (status["item_count"], status["user_count"])
    assert "ready, 299 items\n" in run(server, "--catalog", "mixed", "status").stdout
    run(server, "catalogs", "delete", "mixed", "--yes")


def test_reembedding_from_the_command_line(server: RunningServer, tmp_path: Path) -> None:
    """A re-embedding is estimated, run, watched, rolled back, run again and committed."""
    file = tmp_path / "items.jsonl"
    lines = (json.dumps({"id": str(n), "text": f"text of number {n}"}) for n in range(50))
    file.write_text("\n".join(lines))
    run_json(server, "import", str(file))
    new = ("--template", "about {text}")
    estimate = run_json(server, "reembed", "--estimate", *new)
    assert ("50", "about {text}") == (estimate["text_count"], estimate["space"]["template"])
    output = run(server, "reembed", "--estimate", *new).stdout
    assert "50 texts, 0 of them already embedded" in output
    assert "REEMBEDDING_STATE_SERVING" == run_json(server, "reembed", *new)["state"]
    assert "serving: 50 of 50 items embedded" in run(server, "reembed", "--status").stdout
    refused = run(server, "reembed", "--cancel")
    assert 1 == refused.exit_code
    assert refused.stderr.startswith("akin: FAILED_PRECONDITION: ")
    assert "the previous model serves again" in run(server, "reembed", "--rollback").stdout
    ended = run(server, "reembed", "--status")
    assert (1, "akin: NOT_FOUND: catalog 'default' is not being re-embedded\n") == (
        ended.exit_code,
        ended.stderr,
    )
    again = run_json(server, "reembed", *new, "--no-wait")
    assert "about {text}" == again["to_space"]["template"]
    progress = run_json(server, "reembed", "--status")
    while progress["state"] != "REEMBEDDING_STATE_SERVING":
        progress = run_json(server, "reembed", "--status")
    assert "are dropped" in run(server, "reembed", "--commit").stdout
    assert 2 == run(server, "reembed", "--commit", "--rollback").exit_code


def test_indexes_from_the_command_line(server: RunningServer) -> None:
    """Without Qdrant, a catalog can be in memory only, and changing to that has no effect."""
    created = run_json(server, "catalogs", "create", "maps", "--index", "memory")
    assert "INDEX_KIND_MEMORY" == created["index_kind"]
    same = run(server, "--catalog", "maps", "reindex", "--to", "memory")
    assert (0, "maps: the index is memory\n") == (same.exit_code, same.stdout)
    refused = [
        run(server, "--catalog", "maps", "reindex", "--to", "shared"),
        run(server, "catalogs", "create", "charts", "--index", "shared"),
    ]
    assert [1, 1] == [result.exit_code for result in refused]
    assert all("AKIN_QDRANT_URL" in result.stderr for result in refused)
    assert "maps" in run(server, "catalogs", "delete", "maps", "--yes").stdout
