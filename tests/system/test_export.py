"""A catalog is exported with the real command, and imported into another one."""

import itertools
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import akin
import pytest
from akin import filters
from pyarrow import parquet
from support.command import Ended, run, run_on_terminal
from support.server import RunningServer

ITEMS = 1_000
WORDS = ["tea", "sea", "ghost", "ship", "lamp", "moss", "stone", "bread", "train", "winter"]
WEIGHTS = {"ADD_TO_CART": 0.5, "WISHLIST": 1.0}
KINDS = ("items", "users", "interactions")
ENDINGS = ("jsonl", "csv", "parquet")

# Ids that the formats and a terminal treat in special ways.
ODD_IDS = (
    'quote"s',
    "comma,semicolon;tab-less",
    " spaces around ",
    "007",
    "-1",
    "1e5",
    "true",
    "null",
    "{}",
    "[bold]x[/bold]",
    "=1+1",
    "#hash",
    "日本/é",
    "\u202eevil",
    "line\u2028separator",
    "::",
    "'",
    "\\n",
)

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -0.0,
    1,
    -17.25,
    0.1,
    1e-7,
    5e-324,
    1.7976931348623157e308,
    1e16,
    2**53,
    "",
    "text",
    "007",
    "true",
    "null",
    'a "quoted", text;\twith\r\nlines\rand\nmore',
    "日本 é \x00\x1b\x7f\x85\u2028\u202e",
    [],
    [1, "1", None, [True, []], {"deep": [0.5]}],
    ["red|dry", "a,b"],
    {},
    {"nested": {"null": None, "list": [1, 2]}, "": "empty key", "a.b": 1},
)
KEYS = ("price", "id", "text", "attributes", "expire_time", "user_id", "", "a b", 'k"', "é", "a.b")

catalog_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("export"), EMBEDDER="local") as running:
        yield running


@pytest.fixture(scope="module")
def source(server: RunningServer) -> Iterator[akin.Client]:
    """A client of a catalog with items, users and interactions of every kind."""
    with create_catalog(server) as client:
        for response in client.import_items(make_items()):
            assert not response.code, response.message
        for user in make_users():
            client.upsert_user(user.user_id, user.preferences, user.liked_items)
        client.record_interactions(make_interactions())
        yield client


def create_catalog(server: RunningServer) -> akin.Client:
    """Return a client of a new catalog."""
    name = f"export-{next(catalog_numbers)}"
    with server.client() as client:
        client.create_catalog(name, interaction_weights=WEIGHTS)
    return server.client(catalog=name)


def get_name(client: akin.Client) -> str:
    return client.get_catalog().name


def make_items() -> Iterator[akin.Item]:
    chance = random.Random(7)
    end = datetime.now(UTC) + timedelta(days=30)
    for number in range(ITEMS):
        item_id = ODD_IDS[number] if number < len(ODD_IDS) else f"item:{number:04d}"
        text = " ".join(chance.choices(WORDS, k=12))
        if number % 9 == 0:
            text += '\r\n"second", line\r third\n' + "日本 é\x00\u2028"
        names = chance.sample(KEYS, number % len(KEYS))
        # Every value occurs, and the first items have no attributes at all.
        attributes = {name: VALUES[(number + i) % len(VALUES)] for i, name in enumerate(names)}
        expire_time = end + timedelta(microseconds=number) if number % 5 == 0 else None
        yield akin.item(item_id, text, attributes, expire_time)


def make_users() -> Iterator[akin.User]:
    yield akin.User(user_id="nothing known")
    for number, user_id in enumerate(ODD_IDS):
        yield akin.User(
            user_id=user_id,
            preferences=[akin.Preference(text='sea,\n"ghosts"', weight=-0.1)] * (number % 3),
            liked_items=[akin.LikedItem(item_id=user_id), akin.LikedItem(item_id="é", weight=3.3)],
        )


def make_interactions() -> Iterator[akin.Interaction]:
    types = ["VIEW", "PURCHASE", "DISLIKE", *WEIGHTS]
    for number, user_id in enumerate(ODD_IDS):
        yield akin.interaction(
            user_id,
            ODD_IDS[-number],
            types[number % len(types)],
            datetime(2026, 1, 2, 3, 4, 5, number, UTC)
            if number
            else datetime(1970, 1, 1, 0, 0, 0, 1, UTC),
            interaction_id=f"{user_id}!" if number % 2 else "",
            value=(None, -0.0, 4.0, 1e-7, 1e22)[number % 5],
        )


def export(server: RunningServer, client: akin.Client, *words: str | Path) -> Ended:
    """Return the result of `akin export`."""
    words = ("--catalog", get_name(client), "export", *words, "--address", server.address)
    return run(*words, folder=server.folder)


def import_into(server: RunningServer, client: akin.Client, file: Path) -> None:
    """Import a file into a catalog; every line must be stored."""
    words = ("--catalog", get_name(client), "import", file, "--address", server.address)
    result = run(*words, folder=server.folder)
    assert (0, b"") == (result.status, result.stdout * bool(result.status)), result.stderr


def list_all(client: akin.Client) -> list[bytes]:
    """Return the stored items, users and interactions, without what the server adds to them.

    As bytes, 0 and -0 differ.
    """
    stored: dict[str, list[Any]] = {}
    for kind in KINDS:
        list_page: Callable[..., Any] = getattr(client, f"list_{kind}")
        page = list_page()
        stored[kind] = list(getattr(page, kind))
        while page.next_page_token:
            page = list_page(page_token=page.next_page_token)
            stored[kind] += getattr(page, kind)
    for message in (*stored["items"], *stored["users"]):
        message.ClearField("sequence")
        message.ClearField("update_time")
    return [
        message.SerializeToString(deterministic=True) for kind in KINDS for message in stored[kind]
    ]


def recommend(client: akin.Client) -> list[list[tuple[str, float]]]:
    """Return recommendations for an item, a text and a user, and with a filter."""
    sources: list[dict[str, Any]] = [
        {"item_id": ODD_IDS[0]},
        {"text": "a ghost ship in winter"},
        {"user_id": ODD_IDS[1]},
        {"text": "bread", "where": filters.all_of(filters.between("price", gt=0))},
    ]
    responses = [client.recommend_similar(limit=50, **source) for source in sources]
    return [[(r.item_id, r.score) for r in answer.recommendations] for answer in responses]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_an_import_of_an_export_is_the_same_catalog(
    server: RunningServer, source: akin.Client, tmp_path: Path, ending: str
) -> None:
    """Items, users and interactions are identical after an export and an import; so are answers.

    JSON lines hold them in one file, and the other formats have a file for each kind.
    """
    parts = [()] if ending == "jsonl" else [("--only", kind) for kind in KINDS]
    with create_catalog(server) as copy:
        for number, words in enumerate(parts):
            file = tmp_path / f"{number}.{ending}"
            result = export(server, source, file, *words)
            assert (0, []) == (result.status, result.error_lines)
            import_into(server, copy, file)
        assert list_all(source) == list_all(copy)
        assert recommend(source) == recommend(copy)
    assert len(parts) == len(list(tmp_path.iterdir()))


def list_with_vectors(
    client: akin.Client, *, has_own_vectors: bool | None = None
) -> list[akin.Item]:
    """Return all items with their vectors, of which all count as own ones if the option says so."""
    items: list[akin.Item] = []
    token = ""
    while token or not items:
        page = client.list_items(page_token=token, include_vectors=True)
        items += page.items
        token = page.next_page_token
    for item in items:
        item.ClearField("sequence")
        item.ClearField("update_time")
        if has_own_vectors is not None:
            item.has_own_vectors = has_own_vectors
    return items


def test_an_export_keeps_own_vectors(server: RunningServer, tmp_path: Path) -> None:
    """Own vectors are exported without an option, over several pages; texts stay texts."""
    file = tmp_path / "items.jsonl"
    with create_catalog(server) as original, create_catalog(server) as copy:
        width = original.get_catalog().space.dimensions
        chance = random.Random(4)
        items = [
            akin.item(
                f"i{number:02}",
                f"tea and ship number {number}",
                vectors=[chance.choices((-1.0, 0.1, 3.0), k=width) for _ in range(200)]
                if 10 <= number < 25
                else [],
            )
            for number in range(30)
        ]
        assert [0] * len(items) == [result.code for result in original.import_items(items)]
        assert original.list_items(include_vectors=True).next_page_token
        result = export(server, original, file, "--only", "items")
        assert (0, []) == (result.status, result.error_lines)
        import_into(server, copy, file)
        copied = list_with_vectors(copy)
        assert list_with_vectors(original) == copied
        assert 15 == sum(item.has_own_vectors for item in copied)
        passages = copy.search_passages("tea and ship", limit=50).passages
    assert {f"i{number:02}" for number in (*range(10), *range(25, 30))} == {
        passage.item_id for passage in passages
    }


def test_an_export_with_vectors_gives_equal_answers(server: RunningServer, tmp_path: Path) -> None:
    """With --vectors, the copy has the same vectors to the bit, of callers and of texts."""
    chance = random.Random(3)
    file = tmp_path / "items.jsonl"
    with create_catalog(server) as original, create_catalog(server) as copy:
        width = original.get_catalog().space.dimensions
        items = [
            akin.item(
                f"i{number:03}",
                " ".join(chance.choices(WORDS, k=9)),
                vectors=[chance.choices((-1.0, 0.1, 3.0), k=width)] * (number % 3),
            )
            for number in range(60)
        ]
        assert [0] * len(items) == [result.code for result in original.import_items(items)]
        result = export(server, original, file, "--only", "items", "--vectors")
        assert (0, []) == (result.status, result.error_lines)
        import_into(server, copy, file)
        assert list_with_vectors(original, has_own_vectors=True) == list_with_vectors(copy)
        sources: list[dict[str, Any]] = [
            {"item_id": "i001"},
            {"item_id": "i003"},
            {"text": "a ghost ship"},
        ]
        for source in sources:
            answers = [
                client.recommend_similar(limit=60, **source).recommendations
                for client in (original, copy)
            ]
            assert list(answers[0]) == list(answers[1])
        refused = [
            export(server, copy, tmp_path / "items.csv", "--only", "items", "--vectors"),
            export(server, copy, tmp_path / "users.jsonl", "--only", "users", "--vectors"),
        ]
    assert [2, 2] == [result.status for result in refused]
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_terminal_shows_the_progress(
    server: RunningServer, source: akin.Client, tmp_path: Path
) -> None:
    """On a terminal, the rows of each kind are counted, and the file holds only rows."""
    file = tmp_path / "catalog.jsonl"
    words = ("--catalog", get_name(source), "export", file, "--address", server.address)
    status, received = run_on_terminal(*words, folder=server.folder, COLUMNS="100")
    assert 0 == status
    assert f"{ITEMS}/{ITEMS}".encode() in received
    assert ITEMS + 1 + 2 * len(ODD_IDS) == len(file.read_text().splitlines())


def test_parquet_needs_pyarrow(server: RunningServer, tmp_path: Path) -> None:
    """Without pyarrow, an export to Parquet names the extra to install and leaves no file."""
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "pyarrow.py").write_text("raise ModuleNotFoundError('not there')\n")
    path = os.pathsep.join([str(stub), *filter(None, [os.environ.get("PYTHONPATH")])])
    file = tmp_path / "items.parquet"
    words = ("export", file, "--only", "items", "--address", server.address)
    done = run(*words, folder=server.folder, variables={"PYTHONPATH": path})
    assert 1 == done.status
    assert "pip install '.[parquet]' in a checkout" in done.error_lines[0]
    assert [stub] == list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_attributes_are_in_alphabetical_order(
    server: RunningServer, tmp_path: Path, ending: str
) -> None:
    """Every format has the same order of keys on all levels, and integers without a fraction."""
    file = tmp_path / f"items.{ending}"
    with create_catalog(server) as client:
        client.upsert_item("a", "tea", {"year": 1990, "box": {"b": 2.5, "a": 1}, "kind": "new"})
        assert 0 == export(server, client, file, "--only", "items").status
    if ending == "parquet":
        (text,) = parquet.read_table(file)["attributes"].to_pylist()
    else:
        text = file.read_text().replace('""', '"')
    assert '{"box": {"a": 1, "b": 2.5}, "kind": "new", "year": 1990}' in text


def test_a_file_that_cannot_be_created_is_named_as_it_was_typed(
    server: RunningServer, source: akin.Client, tmp_path: Path
) -> None:
    """The error names the missing folder, and no temporary file."""
    file = tmp_path / "missing" / "items.jsonl"
    result = export(server, source, file)
    message = f"akin: {file}: the folder {file.parent} does not exist"
    assert (1, [message]) == (result.status, result.error_lines)
    long_name = f"{'x' * 240}.jsonl"
    result = export(server, source, long_name)
    assert (1, [f"akin: {long_name}: File name too long"]) == (result.status, result.error_lines)
