"""Recommendations by what people do, on a real server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import akin
import pytest
from akin.v1 import catalog_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from support.behavior_calls import (
    ITEM_COUNT,
    POPULAR,
    draw_likes,
    find_taste,
    import_items,
    import_likes,
    list_ids,
    list_scores,
    name_item,
    wait_for_model,
)
from support.server import RunningServer
from support.waiting import until

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
LIKES = draw_likes()
ALSO_LIKED, BOTH = pb.RELATION_ALSO_LIKED, pb.RELATION_BOTH
EVEN = akin.filters.equals("even", True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("behavior")) as running:
        yield running


@pytest.fixture(scope="module")
def tasteful(server: RunningServer) -> Iterator[akin.Client]:
    """A client of a catalog that has learned from people with three tastes."""
    with server.client(catalog="tasteful") as client:
        client.create_catalog("tasteful")
        import_items(client)
        wait_for_model(client, import_likes(client, LIKES))
        client.upsert_user("reader", [client.get_item("i05").text])
        yield client


@pytest.fixture
def own_name(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name.partition("[")[0].removeprefix("test_")[:50]
    return name


@pytest.fixture
def own(server: RunningServer, own_name: str) -> Iterator[akin.Client]:
    """A client of a catalog of the test's own."""
    name = own_name
    with server.client(catalog=name) as client:
        client.create_catalog(name)
        yield client
        client.delete_catalog(name)


def interact(user_id: str, item_id: str, type_: str, age: timedelta = DAY) -> akin.Interaction:
    return akin.interaction(user_id, item_id, type_, NOW - age)


def is_own_taste(user_id: str, item_ids: list[str]) -> list[bool]:
    return [find_taste(item_id) == int(user_id[1:]) % 3 for item_id in item_ids]


def test_people_get_what_people_with_their_taste_like(tasteful: akin.Client) -> None:
    """With enough people, behavior counts: the first items are of one's own taste, none liked."""
    model = tasteful.get_catalog().behavior_model
    assert sum(map(len, LIKES.values())) == model.like_count
    assert 0 < model.ndcg_gain_lower_bound < model.ndcg_gain
    assert 0 < model.behavior_weight < 1
    for user_id, likes in list(LIKES.items())[:9]:
        answer = tasteful.recommend_similar(user_id=user_id, limit=ITEM_COUNT)
        assert model.train_time == answer.signals.model_time
        assert model.behavior_weight == pytest.approx(answer.signals.behavior_weight)
        assert 1 == pytest.approx(answer.signals.behavior_weight + answer.signals.text_weight)
        ids = list_ids(answer)
        assert all(is_own_taste(user_id, ids[:4]))
        assert ITEM_COUNT - len(likes) == len(set(ids) - set(likes)) == len(ids)
        scores = [score for _, score in list_scores(answer)]
        assert sorted(scores, reverse=True) == scores


def test_the_mode_of_signals_changes_at_once(tasteful: akin.Client) -> None:
    """Text ranks as if there was no model, behavior puts it first; the next call follows."""
    query: dict[str, Any] = {"user_id": "u1", "limit": ITEM_COUNT}
    auto = tasteful.recommend_similar(**query)
    tasteful.update_catalog("tasteful", signals=catalog_service_pb2.SIGNAL_MODE_TEXT)
    text = tasteful.recommend_similar(**query)
    assert (1.0, 0.0) == (text.signals.text_weight, text.signals.behavior_weight)
    assert not text.signals.HasField("model_time")
    assert list_ids(auto) != list_ids(text)
    assert [] == list_ids(tasteful.recommend_similar(item_id="i01", relation=ALSO_LIKED))
    tasteful.update_catalog("tasteful", signals=catalog_service_pb2.SIGNAL_MODE_BEHAVIOR)
    assert 0.2 < tasteful.recommend_similar(**query).signals.behavior_weight
    tasteful.update_catalog("tasteful", signals=catalog_service_pb2.SIGNAL_MODE_AUTO)
    assert list_scores(auto) == list_scores(tasteful.recommend_similar(**query))


@pytest.mark.parametrize("people", [5, 30])
def test_without_proof_text_ranks(own: akin.Client, own_name: str, people: int) -> None:
    """With few people, and with random likes of many, the ranking is exactly that of text."""
    likes = draw_likes(people, tastes=1 if people > 20 else 3)
    import_items(own)
    count = import_likes(own, likes)
    own.update_catalog(own_name, signals=catalog_service_pb2.SIGNAL_MODE_TEXT)
    expected = {name: list_scores(own.recommend_similar(user_id=name)) for name in likes}
    own.update_catalog(own_name, signals=catalog_service_pb2.SIGNAL_MODE_AUTO)
    model = wait_for_model(own, count)
    assert 0 == model.behavior_weight
    for user_id, scores in expected.items():
        answer = own.recommend_similar(user_id=user_id)
        assert scores == list_scores(answer)
        assert (1.0, 0.0) == (answer.signals.text_weight, answer.signals.behavior_weight)


def test_a_catalog_without_people_ranks_by_text(own: akin.Client) -> None:
    """Without likes there is no model, examples lead to similar texts, and nothing is popular."""
    import_items(own, 5)
    answer = own.recommend_similar(examples=akin.examples(["i01"]))
    assert 4 == len(list_ids(answer))
    assert 1.0 == answer.signals.text_weight
    assert [] == list_ids(own.recommend_similar(popular=POPULAR))
    assert [] == list_ids(own.recommend_similar(item_id="i01", relation=ALSO_LIKED))
    assert not own.get_catalog().HasField("behavior_model")


def test_interactions_make_a_user(tasteful: akin.Client) -> None:
    """Someone with interactions alone gets items of that taste, by the next call after them."""
    with pytest.raises(akin.AkinError) as caught:
        tasteful.recommend_similar(user_id="guest")
    assert "USER_NOT_FOUND" == caught.value.reason
    fallback = tasteful.recommend_similar(user_id="guest", fallback=pb.FALLBACK_POPULAR)
    assert list_scores(tasteful.recommend_similar(popular=POPULAR)) == list_scores(fallback)
    assert 1.0 == fallback.signals.behavior_weight
    for type_, item_id in [("VIEW", "i01"), ("LIKE", "i05")]:
        written = tasteful.record_interactions([interact("guest", item_id, type_)])
        answer = tasteful.recommend_similar(user_id="guest", min_sequence=written.sequence)
        assert {0} == {find_taste(item) for item in list_ids(answer)[:4]}
    own_answer = tasteful.recommend_similar(user_id="guest", fallback=pb.FALLBACK_POPULAR)
    assert list_ids(answer) == list_ids(own_answer)
    with pytest.raises(akin.AkinError):
        tasteful.recommend_similar(user_id="stranger", fallback=pb.FALLBACK_NONE)


def test_a_text_leads_to_what_fans_of_similar_items_like(tasteful: akin.Client) -> None:
    """For someone with a text alone, behavior counts as well, and every item can come."""
    answer = tasteful.recommend_similar(user_id="reader", limit=99)
    assert 0 < answer.signals.behavior_weight < 1
    assert ITEM_COUNT == len(list_ids(answer))
    assert "i05" in list_ids(answer)[:5]


def test_seen_items_do_not_come_again(tasteful: akin.Client) -> None:
    """By default what was liked or bought is left out, else what the request says."""
    types = ["VIEW", "CLICK", "LIKE", "PURCHASE", "SHARE", "DISLIKE", "SKIP"]
    done = {type_: name_item(number) for number, type_ in enumerate(types)}
    tasteful.record_interactions([interact("seer", done[type_], type_) for type_ in types])

    def find_seen(**options: Any) -> set[str]:
        answer = tasteful.recommend_similar(user_id="seer", limit=ITEM_COUNT, **options)
        left_out = set(done.values()) - set(list_ids(answer))
        assert ITEM_COUNT == len(list_ids(answer)) + len(left_out)
        return {type_ for type_, item_id in done.items() if item_id in left_out}

    assert {"LIKE", "PURCHASE"} == find_seen()
    assert set() == find_seen(exclude_interactions=[])
    assert {"VIEW", "SKIP"} == find_seen(exclude_interactions=["SKIP", "VIEW"])
    assert set(types) == find_seen(exclude_interactions=types)
    with pytest.raises(akin.AkinError, match=r"exclude_interactions\.types\[1\]"):
        find_seen(exclude_interactions=["VIEW", "NAP"])
    tasteful.upsert_user("seer", liked_items=["i20"])
    answer = tasteful.recommend_similar(user_id="seer", limit=99, exclude_interactions=[])
    assert {name_item(20)} == {name_item(n) for n in range(ITEM_COUNT)} - set(list_ids(answer))
    tasteful.delete_user("seer")
    tasteful.delete_interactions("seer")


def test_an_item_leads_to_what_people_like_who_like_it(tasteful: akin.Client) -> None:
    """ALSO_LIKED has items of one taste, BOTH all items, SIMILAR those of similar texts."""
    for number in (2, 22, 42):
        source = name_item(number)
        similar = tasteful.recommend_similar(item_id=source, limit=ITEM_COUNT)
        assert 1.0 == similar.signals.text_weight
        liked = tasteful.recommend_similar(item_id=source, limit=ITEM_COUNT, relation=ALSO_LIKED)
        assert (0.0, 1.0) == (liked.signals.text_weight, liked.signals.behavior_weight)
        assert 5 < len(list_ids(liked)) < ITEM_COUNT / 2
        assert {find_taste(source)} == {find_taste(item_id) for item_id in list_ids(liked)}
        both = tasteful.recommend_similar(item_id=source, limit=ITEM_COUNT, relation=BOTH)
        assert 0 < both.signals.behavior_weight < 1
        assert set(list_ids(similar)) == set(list_ids(both))
        assert ITEM_COUNT - 1 == len(list_ids(both))
        assert {find_taste(source)} == {find_taste(item_id) for item_id in list_ids(both)[:3]}


@pytest.mark.parametrize("relation", [ALSO_LIKED, BOTH])
def test_relations_need_an_item_that_exists(
    tasteful: akin.Client, relation: pb.Relation.ValueType
) -> None:
    """A missing item is not found, also one that people like; other sources have no relation."""
    tasteful.record_interactions([interact(f"ghost {n}", "ghost", "LIKE") for n in range(4)])
    for item_id in ("missing", "ghost"):
        with pytest.raises(akin.AkinError) as caught:
            tasteful.recommend_similar(item_id=item_id, relation=relation)
        assert "ITEM_NOT_FOUND" == caught.value.reason
    with pytest.raises(akin.AkinError, match="relation"):
        tasteful.recommend_similar(user_id="u1", relation=relation)
    tasteful.upsert_item("lonely", "An item that nobody likes")
    answer = tasteful.recommend_similar(item_id="lonely", relation=relation, limit=99)
    assert (0 if relation == ALSO_LIKED else ITEM_COUNT) == len(list_ids(answer))
    tasteful.delete_item("lonely")


SOURCES: list[dict[str, Any]] = [
    {"user_id": "u1"},
    {"user_id": "reader"},
    {"examples": akin.examples(["i01", "i30"], ["i50"])},
    {"item_id": "i05", "relation": BOTH},
    {"popular": POPULAR},
]
OPTIONS: list[dict[str, Any]] = [
    {},
    {"exact": True},
    {"new_item_boost": 2.0},
    {"diversity": 0.4},
    {"max_similarity": 0.9},
    {"diversity": 0.4, "max_similarity": 0.9, "exact": True, "full": True, "explain": True},
]


@pytest.mark.parametrize("source", SOURCES, ids=["user", "reader", "examples", "item", "popular"])
@pytest.mark.parametrize("options", OPTIONS)
def test_filters_are_exact(
    tasteful: akin.Client, source: dict[str, Any], options: dict[str, Any]
) -> None:
    """Only items that pass come, and all of them if so many are requested."""
    whole = set(list_ids(tasteful.recommend_similar(**source, limit=99)))
    passing = {item_id for item_id in whole if int(item_id[1:]) % 2 == 0}
    excluded = sorted(passing)[:3]
    expected = passing - set(excluded)
    for limit in (5, len(expected), 99):
        answer = tasteful.recommend_similar(
            **source, **options, where=EVEN, limit=limit, exclude_item_ids=excluded
        )
        ids = list_ids(answer)
        assert min(limit, len(expected)) == len(set(ids)) == len(ids)
        assert set(ids) <= expected


@pytest.mark.parametrize("source", SOURCES, ids=["user", "reader", "examples", "item", "popular"])
def test_groups_and_boosts_apply_to_every_source(
    tasteful: akin.Client, source: dict[str, Any]
) -> None:
    """A large boost brings all items that match first, and a group ends at its maximum."""
    whole = list_ids(tasteful.recommend_similar(**source, limit=99))
    even = [item_id for item_id in whole if int(item_id[1:]) % 2 == 0]
    odd = [item_id for item_id in whole if int(item_id[1:]) % 2]
    boosts = [akin.Boost(filter=akin.Filter(all=[EVEN]), weight=10.0)] * 2
    boosted = list_ids(tasteful.recommend_similar(**source, limit=99, boosts=boosts))
    assert [*even, *odd] == boosted
    group_by = akin.GroupBy(attribute="even", max_per_group=3)
    grouped = list_ids(tasteful.recommend_similar(**source, limit=99, group_by=group_by))
    expected = {*even[:3], *odd[:3]}
    assert [item_id for item_id in whole if item_id in expected] == grouped
    both = tasteful.recommend_similar(**source, limit=4, group_by=group_by, boosts=boosts)
    assert [*even[:3], odd[0]] == list_ids(both)


@pytest.mark.parametrize("source", SOURCES, ids=["user", "reader", "examples", "item", "popular"])
def test_a_minimum_score_holds_for_blended_scores(
    tasteful: akin.Client, source: dict[str, Any]
) -> None:
    """With a minimum score come exactly the items that have it without."""
    scores = list_scores(tasteful.recommend_similar(**source, limit=99))
    least = scores[7][1]
    expected = [entry for entry in scores if entry[1] >= least]
    assert expected == list_scores(tasteful.recommend_similar(**source, limit=99, min_score=least))


def test_explanations_name_likes_and_signals(tasteful: akin.Client) -> None:
    """The first explanation of the first item is a liked item of that taste, by behavior."""
    for user_id in ("u0", "u1", "u2"):
        answer = tasteful.recommend_similar(user_id=user_id, explain=True, limit=ITEM_COUNT)
        first = answer.recommendations[0].explanations[0]
        assert (pb.SIGNAL_BEHAVIOR, 0.0) == (first.signal, first.similarity)
        assert is_own_taste(user_id, [first.item_id])[0]
        parts = [part for entry in answer.recommendations for part in entry.explanations]
        assert {part.item_id for part in parts} <= set(LIKES[user_id])
        assert {pb.SIGNAL_BEHAVIOR, pb.SIGNAL_TEXT} == {part.signal for part in parts}
        assert all(part.similarity for part in parts if part.signal == pb.SIGNAL_TEXT)
    liked = tasteful.recommend_similar(item_id="i05", relation=ALSO_LIKED, explain=True)
    for entry in liked.recommendations:
        assert [("i05", pb.SIGNAL_BEHAVIOR)] == [
            (part.item_id, part.signal) for part in entry.explanations
        ]


def test_catalogs_learn_apart(server: RunningServer, tasteful: akin.Client) -> None:
    """The same users and items in another catalog say nothing there."""
    with server.client(catalog="apart") as client:
        client.create_catalog("apart")
        import_items(client)
        client.upsert_user("u1", liked_items=LIKES["u1"][:3])
        wait_for_model(client, 3)
        assert [] == list_ids(client.recommend_similar(item_id=LIKES["u1"][0], relation=ALSO_LIKED))
        assert sorted(LIKES["u1"][:3]) == list_ids(client.recommend_similar(popular=POPULAR))
        assert 1.0 == client.recommend_similar(user_id="u1").signals.text_weight
        client.delete_catalog("apart")
    assert tasteful.get_catalog().behavior_model.like_count


def test_popular_items(own: akin.Client) -> None:
    """Popular items follow counts, weights, the half-life and filters; ties come by id."""
    import_items(own, 12)
    old = timedelta(days=3_000)
    epoch = NOW - datetime(1970, 1, 1, tzinfo=UTC)
    events = [interact(f"a{n}", "i03", "LIKE", old) for n in range(9)]
    events += [interact(f"b{n}", "i04", "LIKE") for n in range(2)]
    events += [interact(f"c{n}", item, "VIEW") for n in range(2) for item in ("i09", "i08")]
    events += [interact(f"d{n}", "i05", "DISLIKE") for n in range(9)]
    events += [interact(f"e{n}", "missing", "PURCHASE") for n in range(9)]
    events += [interact("f", "i06", "LIKE", epoch), interact("f", "i07", "LIKE", -DAY / 2)]
    own.record_interactions(events)
    own.upsert_user("g", liked_items=["i10"])
    count = len(events) - 9 + 1
    wait_for_model(own, count)

    def list_popular(half_life_days: float, **options: Any) -> list[tuple[str, float]]:
        popular = akin.Popular(half_life_days=half_life_days)
        return list_scores(own.recommend_similar(popular=popular, **options))

    recent = ["i04", "i07", "i10", "i08", "i09"]
    ranked = list_popular(20.0)
    assert [*recent, "i03", "i06"] == [item_id for item_id, _ in ranked]
    # The missing item is the most popular one of all.
    assert 2 / 9 == pytest.approx(ranked[0][1], rel=0.01)
    assert "i03" == list_popular(36_500.0)[0][0]
    assert {"i07", "i10"} == {item_id for item_id, _ in list_popular(0.5)[:2]}
    assert ["i04", "i10", "i08"] == [
        item_id for item_id, _ in list_popular(20.0, where=EVEN, limit=3)
    ]
    assert ranked[1:4] == list_popular(20.0, exclude_item_ids=["i04"], limit=3)
    assert ranked == list_popular(20.0, explain=True, full=True)
    assert ranked[:2] == list_popular(20.0, min_score=ranked[1][1], limit=2)


def test_one_user_makes_nothing_popular(own: akin.Client) -> None:
    """However often one user likes an item, it ranks below one that two users like."""
    import_items(own, 5)
    own.record_interactions(
        [interact("fake", "i04", "LIKE", minute * timedelta(minutes=1)) for minute in range(500)]
    )
    own.record_interactions([interact(f"u{n}", "i01", "LIKE") for n in range(2)])
    wait_for_model(own, 3)
    ranked = list_scores(own.recommend_similar(popular=POPULAR))
    assert ["i01", "i04"] == [item_id for item_id, _ in ranked]
    assert 0.5 == pytest.approx(ranked[1][1], rel=0.05)


def test_no_weight_of_a_liked_item_makes_it_popular(own: akin.Client) -> None:
    """An item that one user likes with the largest weight ranks below one that two users like."""
    import_items(own, 5)
    own.upsert_user("loud", liked_items=[akin.LikedItem(item_id="i04", weight=1_000)])
    own.upsert_user("quiet", liked_items=[akin.LikedItem(item_id="i02", weight=0.5)])
    for number in range(2):
        own.upsert_user(f"u{number}", liked_items=["i01"])
    wait_for_model(own, 4)
    ranked = list_scores(own.recommend_similar(popular=POPULAR))
    assert ["i01", "i04", "i02"] == [item_id for item_id, _ in ranked]
    assert [1, 0.5, 0.25] == pytest.approx([score for _, score in ranked], rel=0.05)


@pytest.mark.parametrize("fakes", [1, 3])
def test_fake_likes_move_nothing_to_strangers(own: akin.Client, fakes: int) -> None:
    """Fake users who like the items of a taste and 80 of their own bring none of these to anybody.

    Nothing counts that fewer than three people like together, and three of 51 count little. Six of
    54 bring their items to everybody of the taste.
    """
    import_items(own)
    names = [f"spam{number:02}" for number in range(80)]
    results = own.import_items(akin.item(name, name) for name in names)
    assert {0} == {result.code for result in results}
    baits = [name_item(number) for number in range(ITEM_COUNT // 3)]
    mixed = [name for four in range(20) for name in (baits[four], *names[4 * four : 4 * four + 4])]
    faked = {f"fake{number}": mixed for number in range(fakes)}
    wait_for_model(own, import_likes(own, LIKES | faked))
    for user_id in LIKES:
        answer = own.recommend_similar(user_id=user_id, limit=20)
        assert 0 < answer.signals.behavior_weight
        assert set() == set(list_ids(answer)) & set(names)
    answer = own.recommend_similar(user_id="fake0", limit=20)
    assert 20 == len(list_ids(answer))


def test_new_items_come_no_later_than_by_text(own: akin.Client, own_name: str) -> None:
    """With a boost of 2, in the request or the catalog, a new item has its place by text."""
    import_items(own)
    wait_for_model(own, import_likes(own, LIKES))
    fan = "u0"
    text = own.get_item(LIKES[fan][-1]).text
    own.upsert_item("new", f"{text}, and again")

    def find_place(user_id: str, **options: Any) -> int:
        answer = own.recommend_similar(user_id=user_id, limit=99, **options)
        assert ITEM_COUNT + 1 - len(LIKES[user_id]) == len(list_ids(answer))
        return list_ids(answer).index("new")

    place = find_place(fan)
    until(lambda: find_place(fan, new_item_boost=10.0) < place)
    assert place == find_place(fan, new_item_boost=0.0)
    boosted = find_place(fan, new_item_boost=2.0)
    own.update_catalog(own_name, new_item_boost=2.0)
    assert boosted == find_place(fan)
    assert place == find_place(fan, new_item_boost=0.0)
    own.update_catalog(own_name, signals=catalog_service_pb2.SIGNAL_MODE_TEXT)
    assert boosted == min(place, find_place(fan)) < place
    own.update_catalog(own_name, signals=catalog_service_pb2.SIGNAL_MODE_AUTO)
    own.delete_item("new")
    own.upsert_item("other", "Something quite different")
    ids = list_ids(own.recommend_similar(user_id=fan, limit=99))
    assert "new" not in ids
    assert "other" != ids[0]


def test_items_stand_in_for_the_likes_of_people_with_texts_only(tasteful: akin.Client) -> None:
    """Someone with one preference gets popular items and those liked with what the text is near."""
    answer = tasteful.recommend_similar(user_id="reader", limit=ITEM_COUNT)
    text = tasteful.recommend_similar(text=tasteful.get_item("i05").text, limit=ITEM_COUNT)
    assert set(list_ids(text)) == set(list_ids(answer))
    assert list_ids(text) != list_ids(answer)
    assert 0 < answer.signals.behavior_weight < 1
    examples = akin.examples([akin.Example(text=tasteful.get_item("i05").text)])
    assert list_ids(answer) == list_ids(
        tasteful.recommend_similar(examples=examples, limit=ITEM_COUNT)
    )


def test_text_ranks_for_people_with_several_likes_of_new_items(tasteful: akin.Client) -> None:
    """With two likes that the model does not know, the ranking is that of text."""
    for name in ("x1", "x2"):
        tasteful.upsert_item(name, f"A text of its own: {name}")
    one = tasteful.recommend_similar(examples=akin.examples(["x1"]))
    assert 0 < one.signals.behavior_weight
    two = tasteful.recommend_similar(examples=akin.examples(["x1", "x2"]))
    assert (1.0, 0.0) == (two.signals.text_weight, two.signals.behavior_weight)
    tasteful.batch_delete_items(["x1", "x2"])


def test_popular_items_are_for_people_of_whom_nothing_is_known(tasteful: akin.Client) -> None:
    """The fallback is for users who do not exist or have no likes, without what they have seen."""
    popular = list_ids(tasteful.recommend_similar(popular=POPULAR, limit=3))
    query: dict[str, Any] = {"fallback": pb.FALLBACK_POPULAR, "limit": 3}
    assert popular == list_ids(tasteful.recommend_similar(user_id="stranger", **query))
    tasteful.upsert_user("empty", liked_items=[akin.LikedItem(item_id=popular[0], weight=-1)])
    assert popular[1:] == list_ids(tasteful.recommend_similar(user_id="empty", **query))[:2]
    liker = tasteful.recommend_similar(user_id="u1", **query)
    assert list_ids(tasteful.recommend_similar(user_id="u1", limit=3)) == list_ids(liker)


def get_weights(answer: akin.RecommendSimilarResponse) -> tuple[float, float]:
    return answer.signals.text_weight, answer.signals.behavior_weight


def test_likes_without_vectors_lead_to_a_full_answer(own: akin.Client) -> None:
    """By behavior alone come items of the taste, and then the most popular ones, as signals say."""
    import_items(own)
    fans = list(LIKES)[:: len(LIKES) // 16]  # all of one taste
    likes = LIKES | {user_id: [*LIKES[user_id], "ghost"] for user_id in fans}
    wait_for_model(own, import_likes(own, likes | {"follower": ["ghost"]}))
    liked = {item_id for items in LIKES.values() for item_id in items}
    answer = own.recommend_similar(user_id="follower", limit=ITEM_COUNT, explain=True)
    assert (0.0, 1.0) == get_weights(answer)
    assert liked == set(list_ids(answer))
    assert {0} == {find_taste(item_id) for item_id in list_ids(answer)[:5]}
    others = [item_id for item_id in list_ids(answer) if find_taste(item_id)]
    popular = list_ids(own.recommend_similar(popular=POPULAR, limit=ITEM_COUNT))
    assert [item_id for item_id in popular if find_taste(item_id)] == others
    scores = [score for _, score in list_scores(answer)]
    assert sorted(scores, reverse=True) == scores
    assert list_ids(answer)[:7] == list_ids(own.recommend_similar(user_id="follower", limit=7))
    even = own.recommend_similar(user_id="follower", where=EVEN, diversity=0.3, limit=ITEM_COUNT)
    assert {item_id for item_id in liked if int(item_id[1:]) % 2 == 0} == set(list_ids(even))
    own.upsert_user("stranger", liked_items=["unknown"])
    stranger = own.recommend_similar(user_id="stranger")
    assert [] == list_ids(stranger)
    assert (1.0, 0.0) == get_weights(stranger)
    assert not stranger.signals.HasField("model_time")


def test_signals_are_of_text_if_behavior_knows_nothing_near(
    own: akin.Client, own_name: str
) -> None:
    """A model of items that do not exist says nothing about a text."""
    import_items(own, 5)
    own.update_catalog(own_name, signals=catalog_service_pb2.SIGNAL_MODE_BEHAVIOR)
    ghosts = {f"u{number}": ["ghost 1", "ghost 2", "ghost 3"] for number in range(4)}
    wait_for_model(own, import_likes(own, ghosts))
    own.upsert_user("reader", [own.get_item("i01").text])
    answer = own.recommend_similar(user_id="reader")
    assert 5 == len(list_ids(answer))
    assert (1.0, 0.0) == get_weights(answer)
    assert not answer.signals.HasField("model_time")


@pytest.mark.parametrize("mode", ["TEXT", "BEHAVIOR"])
def test_what_is_liked_with_an_item_is_never_by_text(
    own: akin.Client, own_name: str, mode: str
) -> None:
    """ALSO_LIKED names behavior also where there is nothing to return."""
    import_items(own, 2)
    signals = catalog_service_pb2.SignalMode.Value(f"SIGNAL_MODE_{mode}")
    own.update_catalog(own_name, signals=signals)
    answer = own.recommend_similar(item_id="i01", relation=ALSO_LIKED)
    assert [] == list_ids(answer)
    assert (0.0, 1.0) == get_weights(answer)
    assert not answer.signals.HasField("model_time")
