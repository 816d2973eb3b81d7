"""The upload of files: the console reads them as `akin import` does."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import akin
import pytest
from playwright.sync_api import Browser, Page
from support.browser import ConsoleServer, open_page
from support.command import run

ITEM = {"id": "a", "text": "A kite", "attributes": {"n": 1.5, "tags": ["x", None]}}
USER = {
    "user_id": "ann",
    "preferences": ["tea", {"text": "war, ]}", "weight": -1}],
    "liked": ["a", {"item_id": "b", "weight": 2}],
}
VIEW = {"user_id": 7, "itemId": "a", "type": "page view", "time": 1767312000123}

FILES = {
    "items.json": ("Items", json.dumps([ITEM, {"id": "b", "text": 'Two "lines\n[{'}], indent=2)),
    "sequence.json": ("Items", "\n".join(json.dumps({**ITEM, "id": n}, indent=1) for n in "ab")),
    "vectors.jsonl": ("Items", json.dumps({"id": "v", "text": "V", "vectors": [[1.0] * 256]})),
    "items.csv": (
        "Items",
        (
            "id;text;price;code;sold;mixed;expire_time\r\n"
            "a;A kite;1.50;007;true;1;2099-01-31T00:00:00Z\r\n"
            "\r\n"
            'b;"A ""red""; kite\r\nof paper";-2;8;FALSE;x;\r\n'
        ),
    ),
    "nested.csv": ("Items", 'id,text,attributes,color\na,A kite,"{""n"": [1, {}]}",red\nb,B,,\n'),
    "users.csv": (
        "Users",
        (
            'user_id,preferences,liked\nann,"[""tea"", {""text"": ""war"", ""weight"": -1}]",\n'
            'bob,,"[""a""]"\n'
        ),
    ),
    "users.json": ("Users", json.dumps([USER])),
    "interactions.json": ("Interactions", json.dumps([VIEW, {**VIEW, "type": "CLICK"}])),
    "ratings.jsonl": (
        "Interactions",
        "\n".join(json.dumps({"user": "u", "item": f"i{n}", "stars": n}) for n in (1, 2.5, 3.5, 5)),
    ),
    "ratings.csv": (
        "Interactions",
        "userId,movieId,rating,timestamp\n1,10,4.0,964982703\n1,11,0.5,964982224.25\n2,10,3,1e3\n",
    ),
    "events.csv": (
        "Interactions",
        (
            "visitor_id\tproduct-id\tAction\tcreated_at\tnote\n"
            "ann\tsku-1\tadd_to_cart\t2026-01-02\tx\n"
            "ann\tsku-1\tBought\t2026-01-02T10:00:00.25+01:30\tx\n"
            "bob\tsku-2\tWISHLIST\t1767312000123456\tx\n"
            "bob\tsku-2\tunheard\t20260102\tx\n"
            "bob\tsku-3\tlike\t2026-02-30\tx\n"
        ),
    ),
    "order.csv": ("Interactions", "user,item,event\nann,a,like\nann,b,view\nbob,a,skip\n"),
}
"""Files by name, with the kind of their lines."""


@pytest.fixture
def catalogs(client: akin.Client) -> Iterator[tuple[str, str]]:
    """The names of two empty catalogs, with a type of interactions of their own."""
    names = ("uploaded", "imported")
    for name in names:
        client.create_catalog(name, interaction_weights=WEIGHTS)
    yield names
    for name in names:
        client.delete_catalog(name)


WEIGHTS = {"WISHLIST": 0.5}


def upload(page: Page, kind: str, file: Path) -> None:
    """Upload a file of a kind from a page of items, and wait for the end."""
    page.get_by_role("button", name="Upload a file").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label(kind, exact=True).check(force=True)
    dialog.get_by_label("File").set_input_files(file)
    dialog.get_by_role("button", name="Upload", exact=True).click()


def export(server: ConsoleServer, catalog: str, folder: Path) -> str:
    """Everything in a catalog."""
    done = run(
        "--catalog",
        catalog,
        "export",
        "-",
        "--address",
        server.address,
        folder=folder,
    )
    return done.stdout.decode()


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_by_the_command(
    show: Callable[..., Page],
    server: ConsoleServer,
    catalogs: tuple[str, str],
    tmp_path: Path,
    name: str,
) -> None:
    """The upload and `akin import` of a file give the same catalog, and refuse the same lines."""
    kind, text = FILES[name]
    file = tmp_path / name
    file.write_text(text, newline="")
    uploaded, imported = catalogs
    page = show("overview")
    page.goto(server.link("items", catalog=uploaded))
    upload(page, kind, file)
    page.get_by_text("Done: ").wait_for()
    done = run("--catalog", imported, "import", file, "--address", server.address, folder=tmp_path)
    assert export(server, imported, tmp_path) == export(server, uploaded, tmp_path)
    assert "" != export(server, uploaded, tmp_path)
    refused = page.get_by_role("region", name="Refused lines").locator("tbody tr").count()
    assert refused == sum("line" in line for line in done.error_lines), done.error_lines


@pytest.mark.parametrize(
    ("name", "kind", "content", "message"),
    [
        ("a.parquet", "Items", b"PAR1\0\0", "The file is Parquet. Use `akin import`"),
        ("a.csv.gz", "Items", b"\x1f\x8b\x08", "The file is compressed."),
        ("latin.csv", "Items", "id,text\na,é\n".encode("latin-1"), "The file is not UTF-8"),
        (
            "late.csv",
            "Items",
            b"id,text\n" + b"a,b\n" * 40000 + b"c,\xff\n",
            "The file is not UTF-8",
        ),
        ("empty.jsonl", "Items", b"\n", "The file contains no records."),
        ("head.csv", "Items", b"id,text\n", "The file contains no records."),
        ("a.csv", "Items", b"sku,text\na,A kite\n", "No column is named id."),
        ("b.csv", "Items", b"id,text,text\na,b,c\n", "Two columns have the name"),
        ("plays.csv", "Interactions", b"user,item,plays\na,b,1\n", "The scale of plays is unknown"),
        ("ten.csv", "Interactions", b"user,item,rating\na,b,10\n", "from 10 to 10. Use"),
    ],
)
def test_a_file_that_needs_the_command_is_refused(
    show: Callable[..., Page], tmp_path: Path, name: str, kind: str, content: bytes, message: str
) -> None:
    """A file of another format, or whose columns only options can map, is refused as a whole."""
    file = tmp_path / name
    file.write_bytes(content)
    page = show("items")
    upload(page, kind, file)
    page.get_by_role("alert").get_by_text(message).wait_for()


@pytest.mark.parametrize(
    ("name", "content", "line", "message"),
    [
        ("cut.json", '[{"id": "ok", "text": "A"},\n', 2, "JSON"),
        (
            "digits.jsonl",
            '{"id": "a", "text": "A", "attributes": {"n": 9007199254740993}}',
            1,
            "exact",
        ),
        ("type.csv", "id,text,n\n" + "ok,A,1\n" * 1000 + "b,B,x\n", 1002, "n: not a number"),
        (
            "field.jsonl",
            '{"id": "a", "text": "A", "price": 1}',
            1,
            "not a field of an item. Attributes",
        ),
        ("quote.csv", 'id,text\nok,A\nb,"B\n', 3, "a quotation mark is not closed"),
        ("cells.csv", "id,text\nok,A\nb,B,C\n", 3, "3 cells, but the table has 2 columns"),
    ],
)
def test_a_line_that_would_change_is_refused(
    show: Callable[..., Page], tmp_path: Path, name: str, content: str, line: int, message: str
) -> None:
    """What would be stored otherwise than it is written is refused with the number of its line."""
    file = tmp_path / name
    file.write_text(content)
    page = show("items")
    page.get_by_role("button", name="Upload a file").click()
    page.get_by_label("File").set_input_files(file)
    page.get_by_label("Only check the lines; store nothing").check()
    page.get_by_role("button", name="Check", exact=True).click()
    row = page.get_by_role("region", name="Refused lines").locator("tbody tr")
    assert str(line) == row.locator("td.number").inner_text()
    assert message in row.inner_text()


def test_interactions_that_are_known_are_counted(
    show: Callable[..., Page], server: ConsoleServer, catalogs: tuple[str, str], tmp_path: Path
) -> None:
    """A file that is uploaded again records nothing, and the page says so."""
    file = tmp_path / "order.csv"
    file.write_text(FILES["order.csv"][1])
    page = show("overview")
    page.goto(server.link("users", catalog=catalogs[0]))
    for outcome in ("Done: 3 stored, 0 refused.", "Done: 0 stored, 3 recorded before, 0 refused."):
        upload(page, "Interactions", file)
        page.get_by_text(outcome).wait_for()
        page.get_by_text("Time: the order of the rows, from 1970-01-01 on").wait_for()
        page.get_by_role("button", name="Close").click()


def write_items(file: Path, count: int) -> None:
    """Write a file of items with an id and a text of their own."""
    lines = (json.dumps({"id": f"n{number}", "text": f"Kite {number}"}) for number in range(count))
    file.write_text("\n".join(lines))


def read_reach(message: str) -> tuple[int, int]:
    """The numbers of records that are stored for certain, and that may be, as a message says."""
    stored = re.search(r"The first ([\d,]+) records, up to line \d+, are stored", message)
    possible = re.search(r"The (?:next|first) ([\d,]+) records, up to line \d+, may be", message)
    first, rest = (int(match[1].replace(",", "")) if match else 0 for match in (stored, possible))
    return first, first + rest


def start_long_upload(page: Page, tmp_path: Path) -> None:
    """Start an upload of 60,000 items, and wait until some of them are stored."""
    file = tmp_path / "long.jsonl"
    write_items(file, 60_000)
    upload(page, "Items", file)
    page.get_by_text(re.compile(r"^[1-9][\d,]* stored, 0 refused$")).wait_for()


def test_a_canceled_upload_says_what_is_stored(
    show: Callable[..., Page],
    server: ConsoleServer,
    client: akin.Client,
    catalogs: tuple[str, str],
    tmp_path: Path,
) -> None:
    """Canceling is no success, and the stored items are as many as the page says."""
    page = show("overview")
    page.goto(server.link("items", catalog=catalogs[0]))
    start_long_upload(page, tmp_path)
    assert page.get_by_label("Only check the lines; store nothing").is_disabled()
    page.get_by_role("button", name="Cancel").click()
    message = page.get_by_role("alert").inner_text()
    assert message.startswith("Canceled.")
    assert page.get_by_text("Done:").count() == 0
    least, most = read_reach(message)
    assert 0 < least <= client.get_catalog(catalogs[0]).item_count <= most < 60_000


def test_an_upload_to_a_server_that_dies_says_what_is_stored(
    browser: Browser, tmp_path: Path
) -> None:
    """After the server was killed, it has the records that the page calls stored."""
    with (
        open_page(browser, allowed=("ERR_", "Failed to load")) as page,
        ConsoleServer(tmp_path) as dying,
    ):
        page.goto(dying.link("items"))
        start_long_upload(page, tmp_path)
        dying.kill()
        message = page.get_by_role("alert").filter(has_text="records").inner_text()
        assert page.get_by_text("Done:").count() == 0
    least, most = read_reach(message)
    with ConsoleServer(tmp_path) as restarted, restarted.client() as client:
        assert 0 < least <= client.get_catalog().item_count <= most < 60_000


def test_a_check_is_never_called_stored(show: Callable[..., Page], tmp_path: Path) -> None:
    """The outcome of a check vanishes when the next run would store."""
    file = tmp_path / "two.jsonl"
    write_items(file, 2)
    page = show("items")
    page.get_by_role("button", name="Upload a file").click()
    page.get_by_label("File").set_input_files(file)
    box = page.get_by_label("Only check the lines; store nothing")
    box.check()
    page.get_by_role("button", name="Check", exact=True).click()
    page.get_by_text("Done: 2 valid, 0 refused.").wait_for()
    box.uncheck()
    page.get_by_text("Done:").wait_for(state="detached")
    assert page.get_by_text("2 stored").count() == 0
