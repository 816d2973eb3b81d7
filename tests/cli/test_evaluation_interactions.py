import json
from pathlib import Path

import pytest

from service.cli.evaluation_errors import MAX_LISTED_LINES, EvaluationError
from service.cli.evaluation_input import EvaluationInput, TimedInteraction, read_item_ids
from service.cli.evaluation_interactions import (
    MAX_TESTED_PEOPLE,
    HideName,
    RowOptions,
    read_interaction_input,
)
from service.cli.interaction_builder import InteractionOptions

ITEMS = "abcdefghij"


def read(
    folder: Path, rows: str, hide: HideName = "newest", options: RowOptions | None = None
) -> EvaluationInput:
    """Read a file of interactions with ten items."""
    items, interactions = folder / "items.jsonl", folder / "events.csv"
    lines = (json.dumps({"id": item_id, "text": "a text"}) for item_id in ITEMS)
    items.write_text("\n".join(lines))
    interactions.write_text(rows)
    return read_interaction_input(items, interactions, options or RowOptions(), hide)


def make_rows(*rows: tuple[str, str, str, int]) -> str:
    """Return a CSV of users, items, types and times."""
    lines = (",".join(map(str, row)) for row in rows)
    return "\n".join(["user,item,type,time", *lines])


def list_people(data: EvaluationInput) -> list[tuple[str, str, str]]:
    """Return the id, the letters of the visible and those of the held-out likes of people."""
    return [
        (person.user_id, "".join(person.liked), "".join(sorted(person.held_out)))
        for person in data.people
    ]


def like_all(user: str, item_ids: str, start: int = 0) -> list[tuple[str, str, str, int]]:
    return [(user, item_id, "LIKE", start + place) for place, item_id in enumerate(item_ids)]


def test_the_newest_likes_are_held_out(tmp_path: Path) -> None:
    """Likes are sorted by time, and the newest fifth of each person's is held out."""
    data = read(tmp_path, make_rows(*reversed(like_all("ann", ITEMS)), *like_all("bob", "abc")))
    assert [("ann", "abcdefgh", "ij")] == list_people(data)
    assert {"ann", "bob"} == data.likes.keys()
    assert ("newest", 11, None) == (data.split.kind, data.split.like_count, data.split.cut_time)


def test_a_cut_in_time(tmp_path: Path) -> None:
    """All likes from one time on are held out; people without earlier likes do not count."""
    rows = [*like_all("ann", "abcdefgh"), ("ann", "j", "LIKE", 9), ("bob", "c", "LIKE", 10)]
    data = read(tmp_path, make_rows(*rows), "cut")
    assert [("ann", "abcdefgh", "j")] == list_people(data)
    assert ("cut", 1) == (data.split.kind, data.split.unmeasured_people)
    assert "1970-01-01T00:00:09+00:00" == data.split.cut_time


def test_ratings_as_they_are(tmp_path: Path) -> None:
    """High ratings are likes to predict; the others are learned from, as long as they are older."""
    rows = "\n".join(f"1,{item_id},4.5,{place}" for place, item_id in enumerate("abcde"))
    data = read(tmp_path, f"userId,movieId,rating,timestamp\n{rows}\n1,f,1,3\n1,g,3,4\n1,h,3,5")
    assert [("1", "abcd", "e")] == list_people(data)
    assert [TimedInteraction("1", "f", 3_000_000, "DISLIKE")] == data.others


def test_a_repeated_like_is_no_target(tmp_path: Path) -> None:
    """Of several likes of an item, the first counts."""
    rows = [*like_all("ann", "abcde"), ("ann", "a", "PURCHASE", 9), ("ann", "b", "LIKE", 10)]
    assert [("ann", "abcd", "e")] == list_people(read(tmp_path, make_rows(*rows)))


def test_types_of_likes_stay(tmp_path: Path) -> None:
    """A purchase is a like to predict, and is stored as a purchase."""
    rows = [(user, item, "PURCHASE", time) for user, item, _, time in like_all("ann", "abcde")]
    data = read(tmp_path, make_rows(*rows))
    assert ["PURCHASE"] * 4 == [like.type for like in data.likes["ann"]]


def test_unknown_items_are_reported(tmp_path: Path) -> None:
    """Interactions with items that are not in the file of items are left out and counted."""
    rows = [*like_all("ann", "abcde"), ("ann", "z", "LIKE", 9), ("bob", "y", "VIEW", 9)]
    data = read(tmp_path, make_rows(*rows))
    assert 2 == data.split.unknown_items
    assert [("ann", "abcd", "e")] == list_people(data)


def test_people_who_are_not_measured_are_counted(tmp_path: Path) -> None:
    """People with too few likes to hold any out are counted, and those beyond the sample too."""
    count = MAX_TESTED_PEOPLE + 3
    rows = [row for number in range(count) for row in like_all(f"user {number}", "abcde")]
    data = read(tmp_path, make_rows(*rows, *like_all("ann", "abcd"), ("bob", "a", "LIKE", 1)))
    assert MAX_TESTED_PEOPLE == len(data.people)
    assert (3, 2) == (data.split.unsampled_people, data.split.people_with_few_likes)


@pytest.mark.parametrize(
    ("rows", "hide", "problem"),
    [
        (make_rows(("ann", "a", "WISH", 1)), "newest", ", line 2: type: unknown event WISH"),
        ("user,item\nann,a", "newest", ": no column is the type or a rating"),
        ("user,item,rating\nann,a,80", "newest", ": the scale of rating is unknown"),
        (make_rows(("ann", "", "LIKE", 1)), "newest", ", line 2: item_id: is required"),
        (make_rows(("ann", "z", "LIKE", 1)), "newest", " has no interactions with the items of"),
        (make_rows(*like_all("ann", "abcd")), "newest", " has nobody with likes before and after"),
        (make_rows(("ann", "a", "VIEW", 1)), "newest", " has nobody with likes before and after"),
        (make_rows(("ann", "a", "LIKE", 1)), "cut", ": a cut in time needs likes of different"),
        ("user,item,stars\nann,a,4\nann,b,5\n", "cut", ": a cut in time needs a column with times"),
    ],
)
def test_an_invalid_file(tmp_path: Path, rows: str, hide: HideName, problem: str) -> None:
    """A file that is not understood, or that holds out nothing, is an error with its line."""
    with pytest.raises(EvaluationError) as caught:
        read(tmp_path, rows, hide)
    assert str(caught.value).startswith(f"{tmp_path / 'events.csv'}{problem}")


def test_all_invalid_rows_are_reported(tmp_path: Path) -> None:
    """Each invalid row is named, up to a maximum, and then the number of further ones."""
    rows = [("ann", "", "LIKE", 1), ("ann", "a", "LIKE", 1)] * (MAX_LISTED_LINES + 5)
    with pytest.raises(EvaluationError) as caught:
        read(tmp_path, make_rows(*rows))
    *listed, more = caught.value.messages
    path = tmp_path / "events.csv"
    numbers = range(2, 2 + 2 * MAX_LISTED_LINES, 2)
    assert [f"{path}, line {number}: item_id: is required" for number in numbers] == listed
    assert f"5 more in {path}" == more


def test_a_type_without_a_weight(tmp_path: Path) -> None:
    """A type of one's own has no weight in the temporary catalogs."""
    options = RowOptions(InteractionOptions(is_forced=True, event_types={"wish": "WISH"}))
    with pytest.raises(EvaluationError, match="line 2: type: must be VIEW, CLICK"):
        read(tmp_path, make_rows(("ann", "a", "wish", 1)), options=options)


def test_a_file_without_a_header(tmp_path: Path) -> None:
    """The columns of a file without a header can be named, and one type chosen for all rows."""
    rows = "\n".join(f"ann,{item_id},{place}" for place, item_id in enumerate("abcde"))
    interactions = InteractionOptions(is_forced=True, default_type="LIKE")
    data = read(tmp_path, rows, options=RowOptions(interactions, ["user", "item", "time"]))
    assert [("ann", "abcd", "e")] == list_people(data)


def test_invalid_lines_of_a_file_that_breaks_off_are_reported(tmp_path: Path) -> None:
    """The invalid lines before the end of a broken file are reported, and the broken end."""
    items = tmp_path / "items.json"
    items.write_text('[{"id": 5}, {"id": "a", "text": "A"}, {"id": ')
    with pytest.raises(EvaluationError) as caught:
        read_item_ids(items)
    line, end = caught.value.messages
    assert line.startswith(f"{items}, line 1: id: must be a string")
    assert end.startswith(f"{items}: not JSON at line 1")
    interactions = tmp_path / "interactions.json"
    row = json.dumps({"user_id": "ann", "item_id": "a", "type": "LIKE"})
    interactions.write_text(f'[{{"user_id": 5}}, {", ".join([row] * 2_000)}, {{"user_id": ')
    items.write_text('[{"id": "a", "text": "A"}]')
    with pytest.raises(EvaluationError) as caught:
        read_interaction_input(items, interactions, RowOptions(), "newest")
    line, end = caught.value.messages
    assert line.startswith(f"{interactions}, line 1: ")
    assert end.startswith(f"{interactions}: not JSON at line 1")
