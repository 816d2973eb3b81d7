from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.server import WAIT_SECONDS, environment

SUBJECTS = ("jazz", "wolves", "heists", "gardens")


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def items(folder: Path) -> Path:
    lines = [
        {
            "id": f"{subject}{number}",
            "text": f"A film about {subject}, part {number}",
            "attributes": {"rating": number},
        }
        for subject in SUBJECTS
        for number in range(10)
    ]
    return written(folder / "items.jsonl", lines)


def users(folder: Path) -> Path:
    lines = [
        {
            "user_id": subject,
            "liked": [f"{subject}{number}" for number in range(4)],
            "held_out": [f"{subject}{number}" for number in range(4, 8)],
        }
        for subject in SUBJECTS[:3]
    ]
    return written(folder / "users.jsonl", lines)


def evaluated(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", "evaluate", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=3 * WAIT_SECONDS,
        check=False,
    )


def test_an_evaluation_tells_every_figure_of_every_strategy(tmp_path: Path) -> None:
    """As JSON each strategy has its figures, in bounds, and the picture is there."""
    picture = tmp_path / "out.png"
    ended = evaluated(
        tmp_path,
        *("--items", str(items(tmp_path)), "--users", str(users(tmp_path))),
        *("--strategy", "pooled", "--strategy", "mean", "--prior-attribute", "rating"),
        *("--plot", str(picture), "--json"),
    )
    assert 0 == ended.returncode, ended.stderr
    found = json.loads(ended.stdout)
    assert (3, 40) == (found["people"], found["items"])
    assert ["pooled", "mean", "pooled+rating"] == [each["strategy"] for each in found["strategies"]]
    for each in found["strategies"]:
        for name in ("recall_at_20", "ndcg_at_20", "hit_rate_at_20", "coverage_at_10"):
            assert 0.0 < each[name] <= 1.0
        assert 0.0 < each["p50_ms"] <= each["p95_ms"]
    assert 1.0 == found["strategies"][0]["recall_at_20"]
    times = found["item_query_ms"], found["user_with_50_likes_ms"]
    assert found["p95_ratio"] == pytest.approx(times[1]["p95"] / times[0]["p95"], abs=0.01)
    assert b"\x89PNG" == picture.read_bytes()[:4]
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"user_id": "u", "liked": "jazz1", "held_out": []}, "liked"),
        ({"user_id": "u", "liked": [], "held_out": []}, "liked"),
        ({"user_id": "jazz", "liked": ["jazz1"], "held_out": []}, "there before"),
    ],
)
def test_a_bad_person_is_told_by_line(tmp_path: Path, line: dict[str, Any], problem: str) -> None:
    """A line that is no person ends the command with its number and what is wrong."""
    path = users(tmp_path)
    path.write_text(path.read_text() + json.dumps(line) + "\n")
    ended = evaluated(tmp_path, "--items", str(items(tmp_path)), "--users", str(path))
    assert 2 == ended.returncode
    assert "line 4" in ended.stderr
    assert problem in ended.stderr
    assert "" == ended.stdout


def test_an_attribute_that_no_item_has_is_told(tmp_path: Path) -> None:
    """A prior by an attribute that is not there ends the command."""
    ended = evaluated(
        tmp_path,
        *("--items", str(items(tmp_path)), "--users", str(users(tmp_path))),
        *("--strategy", "mean", "--prior-attribute", "nothing"),
    )
    assert 2 == ended.returncode
    assert "no item has an attribute nothing" in ended.stderr
