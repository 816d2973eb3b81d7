"""Files of interactions, imported with the real command into a real server."""

import bz2
import gzip
import itertools
import json
import lzma
import random
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import akin
import pyarrow as pa
import pytest
from pyarrow import parquet
from support.command import Ended, run
from support.server import RunningServer

USERS = 20
RATINGS_OF_A_USER = 30
TIME = 1_200_000_000

catalog_numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("interactions")) as running:
        yield running


class Importing:
    """Imports files into a catalog of its own.

    Attributes:
        client: client of the catalog.
    """

    def __init__(self, server: RunningServer, catalog: str, client: akin.Client) -> None:
        self.client = client
        self._server = server
        self._catalog = catalog

    def run(self, file: Path, *words: str, script: str = "") -> Ended:
        """Return the result of `akin import`."""
        words = ("--catalog", self._catalog, "import", str(file), *words)
        folder = self._server.folder
        return run(*words, "--address", self._server.address, folder=folder, script=script)

    def count(self, file: Path, *words: str, script: str = "") -> tuple[int, int, int, int]:
        """Import a file; return the status, and how many were recorded, duplicates and refused."""
        result = self.run(file, *words, "--json", script=script)
        summary = json.loads(result.stdout)
        counts = (summary["interactions"], summary["duplicate_interactions"])
        return result.status, *counts, len(summary["failures"])

    def list_all(self) -> list[akin.Interaction]:
        """Return all interactions of the catalog."""
        interactions: list[akin.Interaction] = []
        token = ""
        while True:
            page = self.client.list_interactions(1_000, token)
            interactions += page.interactions
            token = page.next_page_token
            if not token:
                return interactions


@pytest.fixture
def importing(server: RunningServer) -> Iterator[Importing]:
    catalog = f"import-{next(catalog_numbers)}"
    with server.client(catalog=catalog) as client:
        client.create_catalog(catalog)
        yield Importing(server, catalog, client)


def make_ratings() -> list[tuple[str, str, float, int]]:
    """Return ratings of five stars in halves, of sessions, with many ratings in one second."""
    rng = random.Random(1)
    ratings = []
    for user in range(USERS):
        for number, movie in enumerate(rng.sample(range(1_000), RATINGS_OF_A_USER)):
            rating = rng.randrange(1, 11) / 2
            ratings.append((str(user), str(movie), rating, TIME + user * 1_000 + number // 3))
    return ratings


RATINGS = make_ratings()
TABLE = "userId,movieId,rating,timestamp\n" + "".join(
    f"{user},{movie},{rating:.1f},{time}\n" for user, movie, rating, time in RATINGS
)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_ratings_are_imported_once(
    importing: Importing, tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    """A file of ratings needs no option; a second import of it records nothing."""
    file = tmp_path / "ratings.csv"
    file.write_bytes(compress(TABLE.encode()))
    assert (0, len(RATINGS), 0, 0) == importing.count(file, "--dry-run")
    assert [] == importing.list_all()
    assert (0, len(RATINGS), 0, 0) == importing.count(file)
    assert (0, 0, len(RATINGS), 0) == importing.count(file)
    stored = importing.list_all()
    expected = {
        (user, movie): ("LIKE" if rating >= 3.5 else "DISLIKE" if rating < 2.5 else "VIEW", rating)
        for user, movie, rating, _ in RATINGS
    }
    assert expected == {
        (interaction.user_id, interaction.item_id): (interaction.type, interaction.value)
        for interaction in stored
    }
    assert {time for *_, time in RATINGS} == {entry.time.seconds for entry in stored}


def write_parquet(rows: list[dict[str, Any]], file: Path) -> None:
    """Write rows as Parquet."""
    parquet.write_table(pa.Table.from_pylist(rows), file)


def write_lines(rows: list[dict[str, Any]], file: Path) -> None:
    """Write rows as JSON lines."""
    file.write_text("\n".join(map(json.dumps, rows)))


def write_array(rows: list[dict[str, Any]], file: Path) -> None:
    """Write rows as a JSON array in one line."""
    file.write_text(json.dumps(rows))


@pytest.mark.parametrize("write", [write_parquet, write_lines, write_array])
def test_every_format_is_imported_alike(
    importing: Importing, tmp_path: Path, write: Callable[[list[dict[str, Any]], Path], None]
) -> None:
    """Parquet, JSON lines and an array record what the CSV records, whatever their types are."""
    table, file = tmp_path / "ratings.csv", tmp_path / "ratings"
    table.write_text(TABLE)
    rows = [
        {"user_id": int(user), "item_id": movie, "stars": rating, "ts": time * 1_000}
        for user, movie, rating, time in RATINGS
    ]
    write(rows, file)
    assert (0, len(RATINGS), 0, 0) == importing.count(file)
    assert (0, 0, len(RATINGS), 0) == importing.count(table)


@pytest.mark.parametrize("delimiter", ["\t", "::"])
def test_a_table_without_a_header_is_imported(
    importing: Importing, tmp_path: Path, delimiter: str
) -> None:
    """Tabs or two colons and no header need only names of columns, also on standard input."""
    file = tmp_path / "u.data"
    rows = [(user, movie, f"{rating:g}", str(time)) for user, movie, rating, time in RATINGS]
    file.write_text("".join(f"{delimiter.join(row)}\n" for row in rows))
    refused = importing.run(file)
    assert 2 == refused.status
    assert "--columns" in refused.stderr.decode()
    words = ("--columns", "user,item,rating,timestamp")
    assert (0, len(RATINGS), 0, 0) == importing.count(file, *words)
    script = f'"$@" < "{file}"'
    assert (0, 0, len(RATINGS), 0) == importing.count(Path("-"), *words, script=script)


def test_events_are_imported(importing: Importing, tmp_path: Path) -> None:
    """A log of events has types by their names; unknown events are refused until one is chosen."""
    file = tmp_path / "events.csv"
    names = ["view", "addtocart", "transaction", "remove"] * 25
    rows = [
        f"{TIME}{number:03},{number % 7},{name},{number},{number if name == 'transaction' else ''}"
        for number, name in enumerate(names)
    ]
    file.write_text("\n".join(["timestamp,visitorid,event,itemid,transactionid", *rows]))
    result = importing.run(file)
    assert 1 == result.status
    assert "75 interactions recorded in " in result.stdout.decode()
    assert "ignored column: transactionid" == result.error_lines[1]
    assert "line 5: INVALID_LINE: type: unknown event remove; " in result.error_lines[2]
    assert (0, 25, 75, 0) == importing.count(file, "--type-map", "remove=DISLIKE")
    types = Counter(interaction.type for interaction in importing.list_all())
    assert {"VIEW": 25, "CLICK": 25, "PURCHASE": 25, "DISLIKE": 25} == types


def test_rows_without_a_time_keep_their_order(importing: Importing, tmp_path: Path) -> None:
    """Without times, the order of the rows counts; new rows at the end are all that is recorded."""
    file = tmp_path / "user_artists.dat"
    items = [f"{number}" for number in random.Random(2).sample(range(500), 100)]
    rows = ["userID\tartistID\tweight", *(f"2\t{item}\t{13883}" for item in items)]
    file.write_text("\n".join(rows))
    assert 2 == importing.run(file).status
    assert (0, 100, 0, 0) == importing.count(file, "--type", "LIKE")
    file.write_text("\n".join([*rows, "2\t7\t1", "3\t7\t1"]))
    assert (0, 2, 100, 0) == importing.count(file, "--type", "LIKE")
    stored = [entry.item_id for entry in importing.list_all() if entry.user_id == "2"]
    assert [*items, "7"] == stored


def test_bad_lines_do_not_affect_others(importing: Importing, tmp_path: Path) -> None:
    """Lines that the command or the server refuses have their numbers; the others are recorded."""
    lines = TABLE.splitlines()[:600]
    lines[7] = "1,2,3"
    lines[300] = f"1,{'x' * 257},4.0,{TIME}"
    lines[500] = f"1,x,4.0,{10**10}"
    lines[555] = "1,x,great,0"
    file = tmp_path / "ratings.csv"
    file.write_text("\n".join(lines))
    result = importing.run(file)
    assert 1 == result.status
    failures = [line for line in result.error_lines if line.startswith("line ")]
    assert ["line 8", "line 301", "line 501", "line 556"] == [
        failure.partition(":")[0] for failure in failures
    ]
    assert "item_id must be 1 to 256 bytes" in failures[1]
    assert "time must be between 1970 and a day from now" in failures[2]
    assert len(lines) - 5 == len(importing.list_all())
    dry_run = importing.run(file, "--dry-run")
    assert f"{len(lines) - 5} interactions are valid; 4 lines failed\n" == dry_run.stdout.decode()
