"""Commands for single items and users, with the real command and a real server."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import akin
import pytest
from google.protobuf.json_format import MessageToDict
from support.command import Ended, run
from support.server import RunningServer

from service.cli.item_titles import fetch_titles
from service.cli.options import LIST_LIMIT

LONG_ID = "long/" + "x" * 200 + "/end"

catalog_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("commands"), EMBEDDER="local") as running:
        yield running


class Catalog:
    """A catalog of its own.

    Attributes:
        client: client of the catalog.
    """

    def __init__(self, server: RunningServer, name: str, client: akin.Client) -> None:
        self.client = client
        self._server = server
        self._name = name

    def run(self, *words: str, answer: str = "") -> Ended:
        """Return the result of a command; `answer` is what it reads from standard input."""
        options = ("--catalog", self._name, *words, "--address", self._server.address)
        script = f"printf '%s\\n' '{answer}' | \"$@\"" if answer else ""
        return run(*options, folder=self._server.folder, script=script)

    def read(self, *words: str) -> list[Any]:
        """Return the lines of JSON that a command prints."""
        result = self.run(*words, "--json")
        assert 0 == result.status, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    def list_ids(self) -> list[str]:
        """Return the ids of all items."""
        return [item.item_id for item in self.client.list_items(1000).items]


@pytest.fixture
def catalog(server: RunningServer) -> Iterator[Catalog]:
    name = f"commands-{next(catalog_numbers)}"
    with server.client() as admin:
        admin.create_catalog(name)
    with server.client(catalog=name) as client:
        client.upsert_item("a", "green tea", {"price": 5, "kind": "tea"})
        client.upsert_item("b", "black tea", {"price": 9})
        client.upsert_item(LONG_ID, "coffee")
        yield Catalog(server, name, client)


def test_items_are_printed(catalog: Catalog) -> None:
    """An item is printed with its whole text and attributes, and in JSON as in the contract."""
    text = catalog.run("items", "get", "a", LONG_ID).stdout.decode()
    assert f"{LONG_ID}  indexed" in text
    attributes = re.search("attributes: (.*)", text)
    assert attributes
    assert {"kind": "tea", "price": 5} == json.loads(attributes[1])
    first, second = catalog.read("items", "get", "b", "a")
    assert ("b", "black tea", {"price": 9.0}) == (
        first["item_id"],
        first["text"],
        first["attributes"],
    )
    assert "a" == second["item_id"]


def test_missing_items_are_named(catalog: Catalog) -> None:
    """The items that exist are printed, and the error names the others."""
    result = catalog.run("items", "get", "a", "none", "b", "evil\u202e")
    assert 1 == result.status
    assert ["akin: no such items: none, evil\ufffd"] == result.error_lines
    assert b"green tea" in result.stdout
    assert b"black tea" in result.stdout


def test_a_list_has_whole_ids_and_says_what_is_missing(catalog: Catalog) -> None:
    """A table folds long ids instead of cutting them; a limited list says so."""
    result = catalog.run("items", "list")
    cells = [
        line.split("│")[1].strip()
        for line in result.stdout.decode().splitlines()
        if line.startswith("│")
    ]
    assert f"ab{LONG_ID}" == "".join(cells)
    assert [] == result.error_lines
    limited = catalog.run("items", "list", "--limit", "2", "--json")
    assert 2 == len(limited.stdout.splitlines())
    assert ["2 of 3 items; --limit 0 prints all of them"] == limited.error_lines


def test_a_list_can_be_filtered_and_has_no_bound(catalog: Catalog) -> None:
    """A filter chooses items; --limit 0 prints all pages."""
    where = json.dumps({"all": [{"attribute": "price", "range": {"gt": 6}}]})
    assert ["b"] == [item["item_id"] for item in catalog.read("items", "list", "--filter", where)]
    count = 1_200
    items = (akin.item(f"n{number}", "tea") for number in range(count))
    assert count == len(list(catalog.client.import_items(items)))
    assert LIST_LIMIT == len(catalog.read("items", "list"))
    assert count + 3 == len(catalog.read("items", "list", "--limit", "0"))


def test_deleting_items_asks_first(catalog: Catalog) -> None:
    """Items are deleted after a confirmation, or with --yes; an unknown id deletes nothing."""
    refused = catalog.run("items", "delete", "a", "b", answer="n")
    assert (1, b"Delete 2 items? [y/N]: ") == (refused.status, refused.stdout)
    unknown = catalog.run("items", "delete", "a", "none", "--yes")
    assert (1, ["akin: no such item: none"]) == (unknown.status, unknown.error_lines)
    assert ["a", "b", LONG_ID] == catalog.list_ids()
    assert b"deleted 1 item\n" in catalog.run("items", "delete", "a", answer="y").stdout
    assert b"deleted 2 items\n" == catalog.run("items", "delete", "b", LONG_ID, "--yes").stdout
    assert [] == catalog.list_ids()


def test_deleting_items_by_a_filter(catalog: Catalog) -> None:
    """The question has the number of items that match; nothing is asked if there are none."""
    where = json.dumps({"all": [{"attribute": "price", "range": {"lt": 6}}]})
    done = catalog.run("items", "delete", "--filter", where, answer="y")
    assert b"Delete 1 item (all that match the filter)? [y/N]: deleted 1 item\n" == done.stdout
    assert b"deleted 0 items\n" == catalog.run("items", "delete", "--filter", where).stdout
    assert ["b", LONG_ID] == catalog.list_ids()


@pytest.mark.parametrize("words", [(), ("a", "--filter", "{}")])
def test_ids_and_a_filter_exclude_each_other(catalog: Catalog, words: tuple[str, ...]) -> None:
    """Deleting needs ids or a filter, and not both."""
    result = catalog.run("items", "delete", *words, "--yes")
    assert 2 == result.status
    assert "give ids or --filter" in result.error_lines[0]


def test_single_attributes_are_changed(catalog: Catalog) -> None:
    """Values are JSON or else text; attributes that are not named stay, and so does the text."""
    words = ("--set", "price=7.5", "--set", "color=light green", "--set", "code=007")
    more = ("--set", 'year="2024"', "--set", "sizes=[1, null]", "--set", "a.b=true")
    result = catalog.run("items", "update", "a", *words, *more, "--set", "none=null")
    assert result.stdout.startswith(b"updated a: sequence ")
    item = catalog.client.get_item("a")
    assert "green tea" == item.text
    assert {
        "price": 7.5,
        "kind": "tea",
        "color": "light green",
        "code": "007",
        "year": "2024",
        "sizes": [1, None],
        "a.b": True,
        "none": None,
    } == json.loads(json.dumps(_to_dict(item)))
    catalog.run(
        "items", "update", "a", "--text", "jasmine tea", "--unset", "kind", "--unset", "a.b"
    )
    item = catalog.client.get_item("a")
    assert "jasmine tea" == item.text
    assert {"price", "color", "code", "year", "sizes", "none"} == set(_to_dict(item))


def _to_dict(item: akin.Item) -> dict[str, Any]:
    return dict(MessageToDict(item.attributes))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give --text, --set or --unset"),
        (("--set", "price"), "must have the form KEY=VALUE, not price"),
        (("--set", "=5"), "must have the form KEY=VALUE, not =5"),
        (("--set", "a=1", "--set", "a=2"), "has a twice"),
        (("--set", "a=1", "--unset", "a"), "--set has a too"),
        (("--set", "a={1}"), "a: not JSON"),
        (("--set", "a=9007199254740993"), "cannot be stored exactly"),
        (("--set", "a=NaN"), "NaN is not a JSON number"),
    ],
)
def test_changes_that_are_unclear_are_refused(
    catalog: Catalog, words: tuple[str, ...], message: str
) -> None:
    """A change that would store something else than is written is a usage error."""
    result = catalog.run("items", "update", "a", *words)
    assert 2 == result.status
    assert message in result.error_lines[0]


def test_users_are_printed_changed_and_deleted(catalog: Catalog) -> None:
    """Users have the same commands; a change replaces a list, and an empty value clears it."""
    catalog.client.upsert_user("ann", ["tea", "sea"], ["a"])
    catalog.client.upsert_user("bob", ["ships"])
    text = catalog.run("users", "get", "ann").stdout.decode()
    assert "preference, weight 1: tea\n" in text
    assert "liked, weight 1: a\n" in text
    assert ["ann", "bob"] == [user["user_id"] for user in catalog.read("users", "list")]
    catalog.run("users", "update", "ann", "--preference", "", "--liked", "b", "--liked", "a")
    (ann,) = catalog.read("users", "get", "ann")
    assert "preferences" not in ann
    assert ["b", "a"] == [liked["item_id"] for liked in ann["liked_items"]]
    unknown = catalog.run("users", "delete", "ann", "eve", "--yes")
    assert (1, ["akin: no such user: eve"]) == (unknown.status, unknown.error_lines)
    assert b"deleted 2 users\n" == catalog.run("users", "delete", "ann", "bob", "--yes").stdout
    assert [] == catalog.read("users", "list")


def test_dislikes_differ_from_likes(catalog: Catalog) -> None:
    """Users are printed with the weights of what they like and dislike."""
    catalog.client.upsert_user(
        "ann",
        ["tea", akin.Preference(text="rain", weight=-1.5)],
        ["a", akin.LikedItem(item_id="b", weight=-1), akin.LikedItem(item_id="c", weight=2)],
    )
    lines = catalog.run("users", "get", "ann").stdout.decode().splitlines()
    assert [
        "  preference, weight 1: tea",
        "  disliked preference, weight -1.5: rain",
        "  liked, weight 1: a",
        "  disliked, weight -1: b",
        "  liked, weight 2: c",
    ] == lines[1:6]
    table = catalog.run("users", "list").stdout.decode()
    assert re.search(r"│ ann +│ tea; rain \[-1.5\] +│ +2 │ +1 │", table), table


def test_numbers_and_keys_of_attributes(catalog: Catalog) -> None:
    """Integers are printed as integers, and keys in alphabetical order, in lines and in JSON."""
    attributes = {"year": 1990, "price": 79, "sizes": [41, 42.5], "box": {"b": 2, "a": 1}}
    catalog.client.upsert_item("d", "jasmine tea", attributes)
    expected = '{"box": {"a": 1, "b": 2}, "price": 79, "sizes": [41, 42.5], "year": 1990}'
    assert f"attributes: {expected}\n" in catalog.run("items", "get", "d").stdout.decode()
    assert f'"attributes": {expected}' in catalog.run("items", "get", "d", "--json").stdout.decode()
    where = json.dumps({"all": [{"attribute": "price", "equals": 79}]})
    listed = catalog.run("items", "list", "--filter", where).stdout.decode()
    assert '│ {"box": {"a": 1, "b": 2}, "price": ... │' in listed


def test_an_update_of_what_does_not_exist_fails(catalog: Catalog) -> None:
    """Changing a missing item or user fails with its id."""
    item = catalog.run("items", "update", "none", "--text", "tea")
    user = catalog.run("users", "update", "eve", "--liked", "a")
    assert (1, 1) == (item.status, user.status)
    assert ["akin: no such item: none"] == item.error_lines
    assert ["akin: no such user: eve"] == user.error_lines


def test_titles_of_long_items_take_several_calls(server: RunningServer) -> None:
    """Titles are attributes or texts, and are fetched even if the items do not fit one message."""
    markup = f"<p>tea</p><!--{'x' * 900_000}-->"
    with server.client() as admin:
        admin.create_catalog("long", text_format=akin.TextFormat.TEXT_FORMAT_HTML)
    with server.client(catalog="long") as client:
        for number in range(20):
            client.upsert_item(f"long-{number}", markup, {"title": f"Tea {number}"})
        client.upsert_item("named", "coffee", {"name": "Coffee", "title": 5})
        client.upsert_item("plain", "cocoa")
        long_ids = [f"long-{number}" for number in range(20)]
        titles = fetch_titles(client, [*long_ids, "named", "none", "plain"])
    expected = {f"long-{number}": f"Tea {number}" for number in range(20)}
    assert expected | {"named": "Coffee", "plain": "cocoa"} == titles
