"""Search by words and meaning, through a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import akin
import grpc
import pytest
from support import command
from support.rejections import invalid
from support.server import RunningServer

from service.recommend.explanation import MIN_EXPLAINING_SIMILARITY

PARTS = {
    "bolt": "Hexagon bolt M8, stainless steel, part AX-4711.",
    "nut": "Hexagon nut M8, stainless steel, part AX-4712.",
    "washer": "Flat washer for bolts, galvanized, part BZ-100.",
    "lamp": "Desk lamp with a warm light and a wooden foot, part LM-9.",
    "chair": "Office chair with armrests and a high back, part CH-22.",
}

METAL = {"bolt", "nut", "washer"}


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(tmp_path_factory.mktemp("hybrid"), HYBRID="true") as running:
        with running.client() as client:
            fill(client)
        yield running


@pytest.fixture
def shop(hybrid: RunningServer) -> Iterator[akin.Client]:
    with hybrid.client() as connected:
        yield connected


def fill(client: akin.Client) -> None:
    for item_id, text in PARTS.items():
        client.upsert_item(item_id, text, {"metal": item_id in METAL})


def search(client: akin.Client, text: str, **options: Any) -> list[str]:
    answer = client.recommend_similar(text=text, **options)
    return [hit.item_id for hit in answer.recommendations]


def test_exact_words_are_found(shop: akin.Client) -> None:
    """A part number finds its item first, in whichever case and with whichever signs."""
    for query in ("AX-4712", "ax 4712", '"AX/4712" OR NEAR(', "where is the ax-4712?"):
        assert "nut" == search(shop, query, lexical_weight=0.8)[0]
        assert "nut" == shop.search_passages(query, lexical_weight=0.8).passages[0].item_id


def test_scores_and_explanations_say_what_counts(shop: akin.Client) -> None:
    """The score has the documented form, and explanations have the cosine and the words."""
    by_meaning = shop.recommend_similar(text="desk bolt", lexical_weight=0)
    cosines = {hit.item_id: hit.score for hit in by_meaning.recommendations}
    by_words = shop.recommend_similar(text="desk bolt", lexical_weight=1)
    squares = {hit.item_id: hit.score for hit in by_words.recommendations}
    assert squares["chair"] == 0 < squares["lamp"] < 1
    both = shop.recommend_similar(text="desk bolt", lexical_weight=0.4, explain=True)
    assert len(PARTS) == len(both.recommendations)
    words = {"bolt": ["bolt"], "lamp": ["desk"], "nut": [], "washer": [], "chair": []}
    for hit in both.recommendations:
        expected = 0.6 * cosines[hit.item_id] + 0.4 * squares[hit.item_id]
        assert pytest.approx(expected, abs=1e-5) == hit.score
        if cosines[hit.item_id] < MIN_EXPLAINING_SIMILARITY and not words[hit.item_id]:
            assert not hit.explanations
            continue
        (explanation,) = hit.explanations
        assert "desk bolt" == explanation.text
        assert pytest.approx(cosines[hit.item_id], abs=1e-5) == explanation.similarity
        assert words[hit.item_id] == list(explanation.matched_words)


def test_filters_limits_and_reranking_apply(shop: akin.Client) -> None:
    """Filters, excluded ids, minimum scores and diversity work as without words."""
    wood = akin.filters.equals("metal", value=False)
    assert {"lamp", "chair"} == {*search(shop, "AX-4712", lexical_weight=1, where=wood)}
    assert "nut" not in search(shop, "AX-4712", lexical_weight=1, exclude_item_ids=["nut"])
    assert ["nut"] == search(shop, "4712", lexical_weight=1, min_score=0.01)
    assert "nut" == search(shop, "AX-4712", lexical_weight=0.8, diversity=0.5, limit=3)[0]
    passages = shop.search_passages("4712", lexical_weight=1, min_score=0.01).passages
    assert ["nut"] == [passage.item_id for passage in passages]


def test_boosts_join_words(shop: akin.Client) -> None:
    """A boost adds one amount to the scores of the items that match, and nothing to others."""
    options: dict[str, Any] = {"text": "desk bolt", "lexical_weight": 0.4}
    metal = akin.filters.all_of(akin.filters.equals("metal", value=True))
    plain = shop.recommend_similar(**options)
    boosted = shop.recommend_similar(**options, boosts=[akin.Boost(filter=metal, weight=3)])
    scores = {hit.item_id: hit.score for hit in plain.recommendations}
    gains = {hit.item_id: hit.score - scores[hit.item_id] for hit in boosted.recommendations}
    assert PARTS.keys() == gains.keys()
    assert 0.01 < gains["bolt"]
    expected = {item_id: gains["bolt"] * (item_id in METAL) for item_id in PARTS}
    assert pytest.approx(expected, abs=1e-5) == gains


def test_groups_join_words(shop: akin.Client) -> None:
    """Of each group, the best item by words and meaning is recommended."""
    ranked = search(shop, "desk bolt", lexical_weight=0.4)
    best = [
        next(item_id for item_id in ranked if (item_id in METAL) == is_metal)
        for is_metal in (True, False)
    ]
    grouped = search(
        shop, "desk bolt", lexical_weight=0.4, group_by=akin.GroupBy(attribute="metal")
    )
    assert sorted(best, key=ranked.index) == grouped


def test_words_follow_writes(shop: akin.Client) -> None:
    """A search reflects a written, a changed and a deleted text at once."""
    shop.upsert_item("gear", "Gear wheel, part ZQ-77.")
    assert ["gear"] == search(shop, "77", lexical_weight=1, min_score=0.01)
    shop.update_item("gear", text="Gear wheel, part ZQ-78.")
    assert [] == search(shop, "77", lexical_weight=1, min_score=0.01)
    assert ["gear"] == search(shop, "78", lexical_weight=1, min_score=0.01)
    shop.delete_item("gear")
    assert [] == search(shop, "78", lexical_weight=1, min_score=0.01)


def test_words_of_html_are_those_that_readers_see(shop: akin.Client, hybrid: RunningServer) -> None:
    """In a catalog of HTML, tags and attributes are no words."""
    shop.create_catalog("pages", text_format=akin.TextFormat.TEXT_FORMAT_HTML)
    with hybrid.client(catalog="pages") as client:
        client.upsert_item("a", "<p class='wide'>A <b>blue</b> kite</p>")
        assert ["a"] == search(client, "blue", lexical_weight=1, min_score=0.01)
        assert [] == search(client, "wide", lexical_weight=1, min_score=0.01)


def test_a_search_has_the_default_weight_of_the_server(tmp_path: Path) -> None:
    """Without a weight of its own, a request has that of AKIN_LEXICAL_WEIGHT."""
    with RunningServer(tmp_path, HYBRID="true", LEXICAL_WEIGHT="1") as server:
        with server.client() as client:
            fill(client)
            assert ["nut"] == search(client, "4712", min_score=0.01)
            assert "nut" == client.search_passages("4712").passages[0].item_id


def run(server: RunningServer, *words: str) -> Any:
    done = command.run(*words, "--json", "--address", server.address, folder=server.folder)
    assert 0 == done.status, done.stderr
    return json.loads(done.stdout)


def test_commands_pass_the_weight_on(hybrid: RunningServer) -> None:
    """`akin recommend` and `akin search` have the option, which `recommend` needs a text for."""
    least = ("--min-score", "0.01", "--lexical-weight", "1")
    found = run(hybrid, "recommend", "--text", "4712", *least)
    assert ["nut"] == [hit["item_id"] for hit in found["recommendations"]]
    assert ["nut"] == [hit["item_id"] for hit in run(hybrid, "search", "4712", *least)["passages"]]
    explained = command.run(
        *("recommend", "--text", "4712", *least, "--explain", "--address", hybrid.address),
        folder=hybrid.folder,
    )
    assert "with 4712" in " ".join(explained.stdout.decode().split())
    refused = command.run(
        *("recommend", "--item", "nut", *least, "--address", hybrid.address), folder=hybrid.folder
    )
    assert 2 == refused.status
    assert b"--lexical-weight requires --text" in refused.stderr


def test_the_passage_with_the_words_comes_first(tmp_path: Path) -> None:
    """Of a text of several chunks, the one with the words is found, with a score of its own."""
    chapters = [
        f"Chapter {number} is about the care of garden tools in winter." for number in range(9)
    ]
    chapters[6] = "The spare blade for the saw has the number KX-500 on its back side."
    with RunningServer(tmp_path, HYBRID="true", EMBEDDING_TEXT_TOKENS="16") as server:
        with server.client() as client:
            client.upsert_item("manual", " ".join(chapters))
            client.upsert_item("poem", "A poem about a bird that sings on a winter morning.")
            passages = client.search_passages("KX-500", limit=50, lexical_weight=0.9).passages
            assert "KX-500" in passages[0].text
            assert passages[0].score > 0.1 > passages[1].score
            assert {"manual", "poem"} == {passage.item_id for passage in passages}
            single = client.search_passages("KX-500", limit_per_item=1, lexical_weight=0.9)
            assert ["manual", "poem"] == [passage.item_id for passage in single.passages]
            assert list(passages[:2]) == list(
                client.search_passages("KX-500", limit=2, lexical_weight=0.9).passages
            )


def test_words_count_for_texts_only(shop: akin.Client) -> None:
    """A weight for another source than a text is refused, whatever it is."""
    for weight in (0.0, 0.5):
        with invalid("lexical_weight"):
            shop.recommend_similar(item_id="nut", lexical_weight=weight)


def test_a_server_without_words_refuses_a_weight(client: akin.Client) -> None:
    """With hybrid search off, a weight above 0 is refused with the name of the setting."""
    for call in (
        lambda weight: client.recommend_similar(text="x", lexical_weight=weight),
        lambda weight: client.search_passages("x", lexical_weight=weight),
    ):
        with pytest.raises(akin.AkinError, match="AKIN_HYBRID=true") as caught:
            call(0.1)
        assert grpc.StatusCode.FAILED_PRECONDITION == caught.value.code
        assert "HYBRID_OFF" == caught.value.reason
        call(0.0)


def test_words_are_found_after_restarts(tmp_path: Path) -> None:
    """Words of items that were written with hybrid search off, or before a restart, are found."""
    for setting in ("false", "true", "true", "false", "true"):
        with RunningServer(tmp_path, HYBRID=setting) as server, server.client() as client:
            if setting == "false":
                fill(client)
                client.upsert_item("late", "Late, part QQ-1.")
                client.upsert_item("late", "Late again, part QQ-2.")
                client.delete_item("chair")
            else:
                assert ["nut"] == search(client, "4712", lexical_weight=1, min_score=0.01)
                assert ["late"] == search(client, "qq", lexical_weight=1, min_score=0.01)
                assert [] == search(client, "armrests", lexical_weight=1, min_score=0.01)
