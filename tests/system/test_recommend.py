from collections.abc import Iterator
from itertools import pairwise

import akin
import grpc
import pytest
from support.server import RunningServer
from support.texts import distinct

SPACE = "A spaceship crew explores distant planets and meets aliens"
ALIENS = "Aliens from a distant planet invade with their spaceships"
COOKING = "A chef cooks pasta with tomatoes, garlic and fresh basil"
BAKING = "A baker bakes bread and cakes with flour, butter and sugar"
FOOTBALL = "A football team trains hard and wins the championship match"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server whose items are those of these tests alone, for ranking depends on all of them."""
    with RunningServer(tmp_path_factory.mktemp("recommend")) as running:
        yield running


@pytest.fixture
def ids(client: akin.Client, prefix: str) -> dict[str, str]:
    texts = {
        "space": SPACE,
        "aliens": ALIENS,
        "cooking": COOKING,
        "baking": BAKING,
        "football": FOOTBALL,
    }
    named = {name: f"{prefix}{name}" for name in texts}
    for name, text in texts.items():
        client.upsert_item(named[name], f"{text}. {prefix}", {"topic": name})
    return named


def own(response: akin.RecommendSimilarResponse, prefix: str) -> list[str]:
    return [
        hit.item_id.removeprefix(prefix)
        for hit in response.recommendations
        if hit.item_id.startswith(prefix)
    ]


def test_by_item(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """The nearest to an item comes first, and the item itself never comes."""
    found = own(client.recommend_similar(item_id=ids["space"], limit=1000), prefix)
    assert "aliens" == found[0]
    assert {"aliens", "cooking", "baking", "football"} == set(found)
    assert 4 == len(found)


def test_by_text(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """The item whose meaning is the text's comes first among its like."""
    response = client.recommend_similar(text=f"{prefix} extraterrestrials in a starship", limit=9)
    assert own(response, prefix)[0] in {"space", "aliens"}
    response = client.recommend_similar(text=f"{prefix} soccer players score a goal", limit=9)
    assert "football" == own(response, prefix)[0]


def test_own_text_scores_one(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """An item's own text finds it first, with a cosine of 1, and nothing scores beyond it."""
    response = client.recommend_similar(text=f"{COOKING}. {prefix}", limit=1000)
    (best, *others) = response.recommendations
    assert ids["cooking"] == best.item_id
    assert pytest.approx(1.0, abs=1e-5) == best.score
    for better, worse in pairwise([best, *others]):
        assert (-better.score, better.item_id) <= (-worse.score, worse.item_id)


def test_text_source_tells_its_usage(client: akin.Client, prefix: str) -> None:
    """A text is embedded for the first question and known for the second."""
    text = f"something nobody asked before {prefix}"
    client.upsert_item(f"{prefix}1", "anything")
    assert (1, 0) == usage(client.recommend_similar(text=text))
    assert (1, 1) == usage(client.recommend_similar(text=text))
    assert (0, 0) == usage(client.recommend_similar(item_id=f"{prefix}1"))


def usage(response: akin.RecommendSimilarResponse) -> tuple[int, int]:
    return response.usage.text_count, response.usage.cached_text_count


def test_equal_scores_go_by_id(client: akin.Client, prefix: str) -> None:
    """Items of one text have one score and come in ascending order of their ids."""
    text = f"The very same text many times over {prefix}"
    numbers = [7, 3, 11, 1, 9, 5, 10, 2]
    for number in numbers:
        client.upsert_item(f"{prefix}{number:02}", text)
    response = client.recommend_similar(text=text, limit=8)
    assert [f"{number:02}" for number in sorted(numbers)] == own(response, prefix)
    assert 1 == len({hit.score for hit in response.recommendations})
    few = client.recommend_similar(text=text, limit=3)
    assert ["01", "02", "03"] == own(few, prefix)


def test_by_user_tastes(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """Two different tastes both get their items ahead of what suits neither."""
    client.upsert_user(f"{prefix}u", ["space and aliens", "cooking and baking"])
    found = own(client.recommend_similar(user_id=f"{prefix}u", limit=1000), prefix)
    assert "football" == found[-1]
    assert 5 == len(found)


def test_by_user_likes(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """Liked items shape the answer and stay out of it; unknown ones are named as missing."""
    client.upsert_user(f"{prefix}u", liked_items=[ids["space"], f"{prefix}gone", ids["baking"]])
    response = client.recommend_similar(user_id=f"{prefix}u", limit=1000)
    assert {"aliens", "cooking"} == set(own(response, prefix)[:2])
    assert {"aliens", "cooking", "football"} == set(own(response, prefix))
    assert [f"{prefix}gone"] == list(response.missing_item_ids)


def test_missing_like_counts_once_it_is_there(
    client: akin.Client, prefix: str, ids: dict[str, str]
) -> None:
    """A liked item may be stored after the user, and counts from then on."""
    client.upsert_user(f"{prefix}u", liked_items=[f"{prefix}late"])
    early = client.recommend_similar(user_id=f"{prefix}u")
    assert [] == list(early.recommendations)
    assert [f"{prefix}late"] == list(early.missing_item_ids)
    client.upsert_item(f"{prefix}late", f"{SPACE} {prefix}")
    late = client.recommend_similar(user_id=f"{prefix}u", limit=1000)
    assert {"space", "aliens"} == set(own(late, prefix)[:2])
    assert [] == list(late.missing_item_ids)


def test_dislikes_push_down(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """A dislike moves what is like it behind the rest, which it leaves in order."""
    dislike = akin.Preference(text=COOKING, weight=-1)
    client.upsert_user(f"{prefix}u", ["space and aliens", "cooking and baking"])
    before = own(client.recommend_similar(user_id=f"{prefix}u", limit=1000), prefix)
    client.upsert_user(f"{prefix}u", ["space and aliens", "cooking and baking", dislike])
    after = own(client.recommend_similar(user_id=f"{prefix}u", limit=1000), prefix)
    assert before.index("cooking") < before.index("football")
    assert after.index("cooking") > after.index("football")
    assert {"space", "aliens"} == set(after[:2])


def test_dislikes_alone(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """Someone who only dislikes gets what is unlike it, and what is like it last."""
    client.upsert_user(f"{prefix}u", [akin.Preference(text=FOOTBALL, weight=-1)])
    found = own(client.recommend_similar(user_id=f"{prefix}u", limit=1000), prefix)
    assert 5 == len(found)
    assert "football" == found[-1]


def test_user_without_tastes(client: akin.Client, prefix: str) -> None:
    """A user of whom nothing is known gets no recommendations, and no error."""
    client.upsert_user(f"{prefix}u")
    assert [] == list(client.recommend_similar(user_id=f"{prefix}u").recommendations)


def test_exact_answers_for_a_user_agree(
    client: akin.Client, prefix: str, ids: dict[str, str]
) -> None:
    """Scoring every item gives the same first ten as the nearest of each taste."""
    client.upsert_user(f"{prefix}u", ["space and aliens"], [ids["football"]])
    fast = client.recommend_similar(user_id=f"{prefix}u")
    exact = client.recommend_similar(user_id=f"{prefix}u", exact=True)
    assert own(exact, prefix) == own(fast, prefix)


def test_exclude(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """Excluded items never come, whatever the source, and the answer is not shorter for it."""
    client.upsert_user(f"{prefix}u", [SPACE])
    excluded = [ids["aliens"], "no such item"]
    for response in (
        client.recommend_similar(item_id=ids["space"], limit=3, exclude_item_ids=excluded),
        client.recommend_similar(text=ALIENS, limit=3, exclude_item_ids=excluded),
        client.recommend_similar(user_id=f"{prefix}u", limit=3, exclude_item_ids=excluded),
    ):
        assert ids["aliens"] not in {hit.item_id for hit in response.recommendations}
        assert 3 == len(response.recommendations)


def test_min_score(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """A least score cuts the answer exactly there, its own score included."""
    everything = client.recommend_similar(item_id=ids["space"], limit=1000).recommendations
    bound = everything[2].score
    cut = client.recommend_similar(item_id=ids["space"], limit=1000, min_score=bound)
    assert [hit for hit in everything if hit.score >= bound] == list(cut.recommendations)
    nothing = client.recommend_similar(item_id=ids["space"], min_score=1.5)
    assert [] == list(nothing.recommendations)


def test_limit(client: akin.Client, ids: dict[str, str]) -> None:
    """A limit cuts the same answer short; without one ten come at most."""
    most = client.recommend_similar(item_id=ids["space"], limit=1000).recommendations
    for limit in (1, 2, 4):
        few = client.recommend_similar(item_id=ids["space"], limit=limit).recommendations
        assert list(most[:limit]) == list(few)
    assert list(most[:10]) == list(client.recommend_similar(item_id=ids["space"]).recommendations)


def test_full_view(client: akin.Client, prefix: str, ids: dict[str, str]) -> None:
    """The full view brings the stored items along, the default one none."""
    bare = client.recommend_similar(item_id=ids["space"], limit=1000)
    full = client.recommend_similar(item_id=ids["space"], limit=1000, full=True)
    assert own(bare, prefix) == own(full, prefix)
    assert not any(hit.HasField("item") for hit in bare.recommendations)
    for hit in full.recommendations:
        if hit.item_id.startswith(prefix):
            assert client.get_item(hit.item_id) == hit.item


def test_min_sequence(client: akin.Client, prefix: str) -> None:
    """An answer takes the write it was asked to wait for into account, and says so."""
    for number in range(20):
        text = f"{distinct(211 * number)} {prefix}"
        sequence = client.upsert_item(f"{prefix}{number}", text).item.sequence
        response = client.recommend_similar(text=text, limit=1, min_sequence=sequence)
        assert response.sequence >= sequence
        assert f"{prefix}{number}" == response.recommendations[0].item_id


@pytest.mark.parametrize("source", ["item_id", "user_id"])
def test_unknown_source(client: akin.Client, prefix: str, source: str) -> None:
    """An unknown source is NOT_FOUND, with the reason that says what was not."""
    with pytest.raises(akin.AkinError) as caught:
        client.recommend_similar(**{source: f"{prefix}nobody"})  # type: ignore[arg-type]
    assert grpc.StatusCode.NOT_FOUND == caught.value.code
    assert {"item_id": "ITEM_NOT_FOUND", "user_id": "USER_NOT_FOUND"}[source] == caught.value.reason


def test_deleted_source(client: akin.Client, prefix: str) -> None:
    """An item is no source any more at the moment its delete is answered."""
    client.upsert_item(f"{prefix}1", "A short life")
    client.delete_item(f"{prefix}1")
    with pytest.raises(akin.AkinError) as caught:
        client.recommend_similar(item_id=f"{prefix}1")
    assert "ITEM_NOT_FOUND" == caught.value.reason
