import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.server import environment
from support.texts import COUNT, distinct
from typer.testing import CliRunner

from service.cli.main import app

ITEMS = 40
PEOPLE = (
    {"user_id": "ann", "liked": ["0", "1", "2"], "held_out": ["3", "4"]},
    {"user_id": "bob", "liked": ["20", "21"], "held_out": ["22"]},
    {"user_id": "eve", "liked": ["39"], "held_out": []},
)
FIGURES = {"recall_at_20", "ndcg_at_20", "hit_rate_at_20", "coverage_at_10", "p50_ms", "p95_ms"}


def item(number: int) -> dict[str, Any]:
    text = distinct(number * (COUNT // ITEMS))
    return {"id": str(number), "text": text, "attributes": {"rating": number}}


def written(path: Path, *lines: Any) -> str:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return str(path)


def files(folder: Path, *words: str) -> list[str]:
    """The words that name made-up items and people, unless other words name them."""
    named = {
        "--items": written(folder / "items.jsonl", *(item(number) for number in range(ITEMS))),
        "--users": written(folder / "users.jsonl", *PEOPLE),
    }
    return [word for pair in named.items() if pair[0] not in words for word in pair]


def refused(folder: Path, *words: str) -> str:
    """The one line with which `akin evaluate` ends before any work."""
    done = CliRunner().invoke(app, ["evaluate", *files(folder, *words), *words])
    assert (2, "") == (done.exit_code, done.stdout)
    (told,) = done.stderr.splitlines()
    return told.removeprefix("akin evaluate: ")


def evaluated(folder: Path, *words: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Runs `akin evaluate` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "service", "evaluate", *files(folder, *words), *words],
        cwd=folder,
        env=environment(folder) | changed,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_strategies_are_measured(tmp_path: Path) -> None:
    """Each chosen strategy and the prior get their figures, as JSON and in a picture."""
    picture = tmp_path / "picture"
    words = ["--strategy", "mean", "--prior-attribute", "rating"]
    done = evaluated(tmp_path, *words, "--plot", str(picture), "--json")
    assert 0 == done.returncode, done.stderr
    told = json.loads(done.stdout)
    assert (3, ITEMS) == (told["people"], told["items"])
    names = [each.pop("strategy") for each in told["strategies"]]
    assert ["mean", "pooled+rating"] == names
    for each in told["strategies"]:
        assert FIGURES == each.keys()
        assert all(0 <= value <= 1 for name, value in each.items() if "_at_" in name)
        assert 0 < each["p50_ms"] <= each["p95_ms"]
    of_item, of_user = told["item_query_ms"], told["user_with_50_likes_ms"]
    assert pytest.approx(of_user["p95"] / of_item["p95"], abs=1e-3) == told["p95_ratio"]
    header = picture.read_bytes()[:24]
    assert b"\x89PNG\r\n\x1a\n" == header[:8]
    assert (1500, 750) == struct.unpack(">II", header[16:])


def test_table_for_people(tmp_path: Path) -> None:
    """Without --json there is a table with one row for a strategy, and the comparison below."""
    done = evaluated(tmp_path, "--strategy", "pooled", "--strategy", "pooled")
    assert 0 == done.returncode, done.stderr
    assert "3 people, 40 items" in done.stdout
    assert ["pooled"] == [line.split()[1] for line in done.stdout.splitlines() if "│" in line]
    assert "for a user with 50 likes: p50" in done.stdout
    assert "pooled: 3" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"user_id": "bob", "liked": ["1"]}, "held_out: Field required"),
        ({"user_id": "bob", "liked": [1], "held_out": []}, "liked: 0: Input should be a valid s"),
        ({"user_id": "bob", "liked": [], "held_out": []}, "liked: List should have at least 1"),
        ({"user_id": "b\n", "liked": ["1"], "held_out": []}, "user.user_id: "),
        ({"user_id": "ann", "liked": ["1"], "held_out": []}, "user_id: ann was there before"),
        (7, "Input should be"),
    ],
)
def test_bad_user_line(tmp_path: Path, line: Any, problem: str) -> None:
    """A bad line among the users ends the command before any work, told by its number."""
    users = written(tmp_path / "bad.jsonl", PEOPLE[0], line)
    assert refused(tmp_path, "--users", users).startswith(f"{users}, line 2: {problem}")


@pytest.mark.parametrize("line", [PEOPLE[0], {"id": "1"}])
def test_bad_item_line(tmp_path: Path, line: Any) -> None:
    """A line that is no item ends the command before any work, told by its number."""
    items = written(tmp_path / "bad.jsonl", item(0), line)
    assert refused(tmp_path, "--items", items).startswith(f"{items}, line 2: ")


def test_item_against_the_limits(tmp_path: Path) -> None:
    """An item that the server refuses ends the command, told by its line."""
    items = written(tmp_path / "bad.jsonl", item(0), item(1) | {"text": " "})
    done = evaluated(tmp_path, "--items", items)
    assert (2, "") == (done.returncode, done.stdout)
    assert f"akin evaluate: {items}, line 2: " in done.stderr


def test_nobody_to_judge_by(tmp_path: Path) -> None:
    """People without held-out items are refused, for there is nothing to measure."""
    users = written(tmp_path / "none.jsonl", PEOPLE[2])
    assert f"{users} has nobody with held-out items" == refused(tmp_path, "--users", users)


def test_unknown_strategy(tmp_path: Path) -> None:
    """A strategy that there is not is refused, with the names of those that there are."""
    done = CliRunner().invoke(app, ["evaluate", *files(tmp_path), "--strategy", "best"])
    assert (2, "") == (done.exit_code, done.stdout)
    assert "pooled or nearest or mean" in done.stderr


def test_unknown_attribute(tmp_path: Path) -> None:
    """A prior by an attribute that no item has is refused."""
    done = evaluated(tmp_path, "--prior-attribute", "ratings")
    assert (2, "") == (done.returncode, done.stdout)
    assert "akin evaluate: no item has an attribute ratings" == done.stderr.splitlines()[-1]


def test_picture_needs_matplotlib(tmp_path: Path) -> None:
    """Without matplotlib a picture is refused in one line before any work."""
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError('not there')\n")
    picture = tmp_path / "picture.png"
    done = evaluated(tmp_path, "--plot", str(picture), PYTHONPATH=str(tmp_path))
    assert (2, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert "akin evaluate: --plot needs matplotlib" in done.stderr
    assert not picture.exists()


def test_picture_needs_a_folder(tmp_path: Path) -> None:
    """A picture in a folder that is not there is refused before any work."""
    picture = tmp_path / "none" / "picture.png"
    assert f"--plot: no file can be written at {picture}" == refused(
        tmp_path, "--plot", str(picture)
    )


def test_server_does_not_start(tmp_path: Path) -> None:
    """If its server does not start, the command says so and fails."""
    done = evaluated(tmp_path, AKIN_EMBEDDER="nobody")
    assert (1, "") == (done.returncode, done.stdout)
    assert "akin: the server did not start" == done.stderr.splitlines()[-1]
    assert "AKIN_EMBEDDER" in done.stderr
