import json
import random
import struct
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from support.command import Ended, run, run_on_terminal
from support.server import WAIT_SECONDS
from support.texts import COUNT, distinct
from typer.testing import CliRunner

from service.cli.main import app

ITEMS = 40
PEOPLE = (
    {"user_id": "ann", "liked": ["0", "1", "2"], "held_out": ["3", "4"]},
    {"user_id": "bob", "liked": ["20", "21"], "held_out": ["22"]},
    {"user_id": "eve", "liked": ["39"], "held_out": []},
)
MEANS = {"recall_at_20", "ndcg_at_20", "hit_rate_at_20", "coverage_at_10", "popular_at_10"}
OTHERS = {"recall_at_20_interval", "ndcg_at_20_interval", "ndcg_gain", "novelty_at_10"}
METRICS = MEANS | OTHERS | {"p50_ms", "p95_ms"}

# Items of three groups, and people who like items of one group each.
GROUPS = 3
GROUP_ITEMS = 30
FANS = 60
FAN_LIKES = 12


def build_item(number: int) -> dict[str, Any]:
    text = distinct(number * (COUNT // ITEMS))
    return {"id": str(number), "text": text, "attributes": {"rating": number}}


def write_lines(path: Path, *lines: Any) -> str:
    """Write a JSONL file and return its path."""
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


def add_files(folder: Path, *words: str) -> list[str]:
    """Return the words with options for files of items and people, unless they have them."""
    items = write_lines(folder / "items.jsonl", *(build_item(number) for number in range(ITEMS)))
    options = {"--items": items, "--users": write_lines(folder / "users.jsonl", *PEOPLE)}
    return [*(word for pair in options.items() if pair[0] not in words for word in pair), *words]


def get_usage_error(folder: Path, *words: str) -> str:
    """Return the line with which `akin evaluate` ends before any work."""
    result = CliRunner().invoke(app, ["evaluate", *add_files(folder, *words)])
    assert (2, "") == (result.exit_code, result.stdout)
    (line,) = result.stderr.splitlines()
    return line.removeprefix("akin evaluate: ")


def evaluate(folder: Path, *words: str, **variables: str) -> Ended:
    """Return the result of `akin evaluate` in a process of its own."""
    return run("evaluate", *add_files(folder, *words), folder=folder, variables=variables)


def test_strategies_are_measured(tmp_path: Path) -> None:
    """Each chosen strategy and the prior are measured, and printed as JSON and in a plot."""
    plot = tmp_path / "plot"
    words = ["--strategy", "mean", "--prior-attribute", "rating"]
    result = evaluate(tmp_path, *words, "--plot", str(plot), "--json")
    assert 0 == result.status, result.stderr
    document = json.loads(result.stdout)
    assert (3, ITEMS) == (document["people"], document["items"])
    names = [metrics.pop("strategy") for metrics in document["strategies"]]
    assert ["mean", "pooled+rating"] == names
    for metrics in document["strategies"]:
        assert METRICS == metrics.keys()
        assert all(0 <= metrics[name] <= 1 for name in MEANS)
        assert 0 < metrics["p50_ms"] <= metrics["p95_ms"]
    item, user = document["item_query_ms"], document["user_with_50_likes_ms"]
    assert pytest.approx(user["p95"] / item["p95"], abs=1e-3) == document["p95_ratio"]
    header = plot.read_bytes()[:24]
    assert b"\x89PNG\r\n\x1a\n" == header[:8]
    assert (1500, 750) == struct.unpack(">II", header[16:])


def write_fans(folder: Path, *, has_taste: bool = True) -> list[str]:
    """Write items and likes; return the options for them. Texts say nothing about groups."""
    rng = random.Random(5)
    count = GROUPS * GROUP_ITEMS
    texts = [distinct(number) for number in rng.sample(range(COUNT), count)]
    items = write_lines(
        folder / "fans-items.jsonl",
        *({"id": str(number), "text": text} for number, text in enumerate(texts)),
    )
    rows = ["user,item,type,time"]
    for person in range(FANS):
        group = range(person % GROUPS, count, GROUPS) if has_taste else range(count)
        liked = rng.sample(group, FAN_LIKES)
        rows += [f"fan {person},{item},LIKE,{time}" for time, item in enumerate(liked)]
    likes = folder / "likes.csv"
    likes.write_text("\n".join(rows))
    return ["--items", items, "--interactions", str(likes)]


def run_fans(folder: Path, *words: str) -> Any:
    """Return the JSON result of an evaluation of interactions."""
    result = run("evaluate", *words, "--json", folder=folder, seconds=5 * WAIT_SECONDS)
    assert 0 == result.status, result.stderr
    return json.loads(result.stdout)


def test_likes_are_learned_from(tmp_path: Path) -> None:
    """Where people of a group like the same items, behavior finds them and text does not."""
    plot = tmp_path / "plot.png"
    words = ["--strategy", "behavior", "--strategy", "auto", "--shuffle-order", "--cold"]
    document = run_fans(tmp_path, *write_fans(tmp_path), *words, "--plot", str(plot))
    assert "newest" == document["split"]["kind"]
    assert FANS * (FAN_LIKES - 2) == document["split"]["like_count"]
    assert FANS == document["learned"]["test_people"]
    assert document["learned"]["uses_behavior"]
    rows = {row["strategy"]: row for row in document["strategies"]}
    assert ["pooled", "behavior", "auto", "auto, order shuffled"] == list(rows)
    assert rows["pooled"]["ndcg_gain"] is None
    for name in ("behavior", "auto", "auto, order shuffled"):
        assert rows[name]["ndcg_gain"]["low"] > 0
    people = {(row["likes"], row["strategy"]): row for row in document["cold_people"]}
    counts = (0, 1, 2, 3, 5)
    names = ("text", "auto")
    assert {(0, "popular"), *product(counts, names)} == people.keys()
    for count in (3, 5):
        text, auto = (people[count, name]["recall_at_20"] for name in names)
        assert text["high"] < auto["low"]
    new_items = {row["strategy"]: row["recall_of_new"]["mean"] for row in document["cold_items"]}
    boosts = [f"auto, boost {boost}" for boost in (0, 1, 2)]
    assert ["text", *boosts] == list(new_items)
    assert new_items[boosts[0]] < new_items[boosts[2]]
    assert (1500, 1350) == struct.unpack(">II", plot.read_bytes()[16:24])


def test_random_likes_change_nothing(tmp_path: Path) -> None:
    """From random likes nothing can be learned, so that `auto` recommends what text does."""
    words = [*write_fans(tmp_path, has_taste=False), "--strategy", "auto", "--hide", "newest"]
    document = run_fans(tmp_path, *words)
    text, auto = document["strategies"]
    assert {"mean": 0.0, "low": 0.0, "high": 0.0} == auto["ndcg_gain"]
    for name in MEANS | {"novelty_at_10"}:
        assert text[name] == auto[name]
    assert not document["learned"]["uses_behavior"]


def test_a_split_in_time(tmp_path: Path) -> None:
    """With --hide cut, all held-out likes are from one time on, which the table reports."""
    words = [*write_fans(tmp_path), "--hide", "cut", "--strategy", "popular"]
    result = run("evaluate", *words, folder=tmp_path, seconds=5 * WAIT_SECONDS)
    assert 0 == result.status, result.stderr
    lines = result.stdout.decode().splitlines()
    assert ["pooled", "popular"] * 2 == [line.split()[1] for line in lines if "│" in line]
    assert "held-out likes are from 1970-01-01T00:00:10+00:00 on" in lines


def test_people_who_are_not_measured_are_reported(tmp_path: Path) -> None:
    """Below the tables, lines say how many people and interactions do not count, and why."""
    words = write_fans(tmp_path)
    with Path(words[-1]).open("a") as likes:
        likes.write("\nnew 1,0,LIKE,1\nnew 2,0,LIKE,1\nnew 2,no such item,LIKE,2\n")
    result = run(
        *("evaluate", *words, "--strategy", "mean"), folder=tmp_path, seconds=5 * WAIT_SECONDS
    )
    lines = result.stdout.decode().splitlines()
    assert "people not measured, with fewer than 5 likes: 2" in lines
    assert "interactions ignored, with items that are not in the file: 1" in lines


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--interactions", "{likes}"], "either --users or --interactions is required"),
        (["--hide", "cut"], "--hide, --map, --columns, --type, --type-map, --like-from and"),
        (["--like-from", "4"], "--hide, --map, --columns, --type, --type-map, --like-from and"),
    ],
)
def test_people_or_interactions(tmp_path: Path, words: list[str], problem: str) -> None:
    """The people come from one file, and options for interactions need a file of interactions."""
    likes = write_fans(tmp_path)[-1]
    error = get_usage_error(tmp_path, *(word.format(likes=likes) for word in words))
    assert error.startswith(problem)


def test_results_as_a_table(tmp_path: Path) -> None:
    """Without --json there is a table with one row for each strategy, and latencies below it."""
    result = evaluate(tmp_path, "--strategy", "pooled", "--strategy", "pooled")
    assert 0 == result.status, result.stderr
    assert b"Quality: 3 people, 40 items" in result.stdout
    lines = result.stdout.decode().splitlines()
    assert ["pooled"] * 2 == [line.split()[1] for line in lines if "│" in line]
    assert b"for a user with 50 liked items " in result.stdout
    assert "pooled: 3" in result.error_lines


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"user_id": "bob", "liked": ["1"]}, "held_out: Field required"),
        ({"user_id": "bob", "liked": [1], "held_out": []}, "liked: 0: Input should be a valid s"),
        ({"user_id": "bob", "liked": [], "held_out": []}, "liked: List should have at least 1"),
        ({"user_id": "b\n", "liked": ["1"], "held_out": []}, "user.user_id: "),
        (
            {"user_id": "ann", "liked": ["1"], "held_out": []},
            "user_id: ann is in an earlier line too",
        ),
        (7, "Input should be"),
    ],
)
def test_an_invalid_user_line(tmp_path: Path, line: Any, problem: str) -> None:
    """An invalid line in the file of people ends the command before any work, with its number."""
    users = write_lines(tmp_path / "bad.jsonl", PEOPLE[0], line)
    error = get_usage_error(tmp_path, "--users", users)
    assert error.startswith(f"{users}, line 2: {problem}")


@pytest.mark.parametrize("line", [PEOPLE[0], {"id": "1"}])
def test_an_invalid_item_line(tmp_path: Path, line: Any) -> None:
    """A line that is no item ends the command before any work, with its number."""
    items = write_lines(tmp_path / "bad.jsonl", build_item(0), line)
    assert get_usage_error(tmp_path, "--items", items).startswith(f"{items}, line 2: ")


def test_all_invalid_lines_are_reported(tmp_path: Path) -> None:
    """Each invalid line of the items or the people has a line of its own."""
    lines = [build_item(0), {"id": "1"}, PEOPLE[0], build_item(2), 7]
    items = write_lines(tmp_path / "bad.jsonl", *lines)
    result = evaluate(tmp_path, "--items", items)
    assert (2, b"") == (result.status, result.stdout)
    starts = [f"akin evaluate: {items}, line {number}: " for number in (2, 3, 5)]
    assert [True] * 3 == list(map(str.startswith, result.error_lines, starts))
    assert 3 == len(result.error_lines)
    users = write_lines(tmp_path / "people.jsonl", {"user_id": "b"}, PEOPLE[0], PEOPLE[0])
    result = evaluate(tmp_path, "--users", users)
    starts = [f"akin evaluate: {users}, line {number}: " for number in (1, 3)]
    assert [True] * 2 == list(map(str.startswith, result.error_lines, starts))
    assert 2 == len(result.error_lines)


def test_a_table_of_items(tmp_path: Path) -> None:
    """A table with other columns than those of items ends the command in one plain sentence."""
    items = tmp_path / "movies.csv"
    items.write_text("movieId,title,genres\n1,Toy Story,Animation\n")
    error = get_usage_error(tmp_path, "--items", str(items))
    assert f"{items} is a table; convert it to JSON lines" == error


def test_reading_interactions_shows_progress(tmp_path: Path) -> None:
    """On a terminal, a bar shows how much of the file of interactions is read."""
    items = write_lines(tmp_path / "items.jsonl", build_item(0))
    likes = tmp_path / "likes.csv"
    likes.write_text("user,item,type,time\n" + "ann,0,LIKE,7\n" * 9_000)
    words = ("--items", items, "--interactions", likes)
    status, shown = run_on_terminal("evaluate", *words, folder=tmp_path)
    assert 2 == status
    assert b"9000 read" in shown


def test_a_rejected_item(tmp_path: Path) -> None:
    """Items that the server rejects end the command with their line numbers."""
    empty = [build_item(number) | {"text": " "} for number in (1, 2)]
    items = write_lines(tmp_path / "bad.jsonl", build_item(0), *empty)
    result = evaluate(tmp_path, "--items", items)
    assert (2, b"") == (result.status, result.stdout)
    for number in (2, 3):
        assert f"akin evaluate: {items}, line {number}: " in result.stderr.decode()


def test_nobody_with_held_out_items(tmp_path: Path) -> None:
    """Without held-out items the command ends, because there is nothing to measure."""
    users = write_lines(tmp_path / "none.jsonl", PEOPLE[2])
    error = get_usage_error(tmp_path, "--users", users)
    assert f"{users} has no people with held-out items" == error


def test_an_unknown_strategy(tmp_path: Path) -> None:
    """For an unknown strategy the command ends with the names of all strategies."""
    result = evaluate(tmp_path, "--strategy", "best")
    assert (2, b"") == (result.status, result.stdout)
    names = "pooled, nearest, mean, popular, behavior or auto, not best"
    assert names in result.error_lines[-1]


def test_an_unknown_attribute(tmp_path: Path) -> None:
    """A prior by an attribute that no item has ends the command."""
    result = evaluate(tmp_path, "--prior-attribute", "ratings")
    assert (2, b"") == (result.status, result.stdout)
    error = "akin evaluate: no item has the attribute ratings"
    assert error == result.error_lines[-1]


def test_a_plot_needs_matplotlib(tmp_path: Path) -> None:
    """Without matplotlib, --plot ends the command with one line before any work."""
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('not there')\n")
    plot = tmp_path / "plot.png"
    result = evaluate(tmp_path, "--plot", str(plot), PYTHONPATH=str(tmp_path))
    assert (2, b"") == (result.status, result.stdout)
    assert 1 == len(result.error_lines)
    assert b"akin evaluate: --plot needs matplotlib" in result.stderr
    assert not plot.exists()


def test_a_plot_needs_a_folder(tmp_path: Path) -> None:
    """A plot in a folder that does not exist ends the command before any work."""
    plot = tmp_path / "none" / "plot.png"
    error = get_usage_error(tmp_path, "--plot", str(plot))
    assert f"--plot: cannot write the file {plot}" == error


def test_the_server_does_not_start(tmp_path: Path) -> None:
    """If the temporary server does not start, the command says so and fails."""
    result = evaluate(tmp_path, AKIN_EMBEDDER="nobody")
    assert (1, b"") == (result.status, result.stdout)
    assert "akin: the server did not start" == result.error_lines[-1]
    assert b"AKIN_EMBEDDER" in result.stderr
