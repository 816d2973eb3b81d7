"""Recommendations and the interactions that they lead to, on a real server."""

from contextlib import ExitStack
from pathlib import Path

import akin
import pytest
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc
from akin.v1.interaction_service_pb2 import RecordInteractionsRequest
from akin.v1.interaction_service_pb2_grpc import InteractionServiceStub
from support.observing import scraped
from support.server import WAIT_SECONDS, RunningServer, free_address
from support.workers import connect_to_workers


def counts_of(client: akin.Client) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (entry.source, entry.signals): (entry.response_count, entry.clicked_response_count)
        for entry in client.get_catalog().click_through
    }


def fill(client: akin.Client) -> None:
    for item_id, text in (("a", "green tea"), ("b", "black tea"), ("c", "coffee")):
        client.upsert_item(item_id, text)
    client.upsert_user("u", ["tea"], ["c"])


def test_every_response_has_an_id_and_its_signals(tmp_path: Path) -> None:
    """Ids are short, URL-safe and different, and text alone is what these are based on."""
    with RunningServer(tmp_path) as server, server.client() as client:
        fill(client)
        responses = [
            client.recommend_similar(item_id="a"),
            client.recommend_similar(user_id="u"),
            client.recommend_similar(text="tea"),
            client.recommend_similar(text="tea"),
            client.recommend_similar(text="tea", min_score=2.0),
        ]
        ids = {response.recommendation_id for response in responses}
        assert len(responses) == len(ids)
        assert all(0 < len(name) <= 40 and name.isascii() for name in ids)
        assert {(1.0, 0.0, False)} == {
            (
                response.signals.text_weight,
                response.signals.behavior_weight,
                response.signals.HasField("model_time"),
            )
            for response in responses
        }


def test_click_through_is_counted_by_source(tmp_path: Path) -> None:
    """Clicks count at once, responses at a clean stop, and both are there after the restart."""
    address = free_address()
    with RunningServer(tmp_path, METRICS_LISTEN=address) as server:
        with server.client() as client:
            fill(client)
            by_item = client.recommend_similar(item_id="a").recommendation_id
            by_user = [client.recommend_similar(user_id="u").recommendation_id for _ in range(3)]
            client.recommend_similar(text="tea", min_score=2.0)
            client.record_interactions(
                [
                    akin.interaction("u", "a", "CLICK", recommendation_id=by_user[0]),
                    akin.interaction("u", "a", "LIKE", recommendation_id=by_user[0]),
                    akin.interaction("u", "b", "CLICK", recommendation_id=by_user[1]),
                    akin.interaction("u", "c", "DISLIKE", recommendation_id=by_user[2]),
                ]
            )
            list(
                client.import_interactions(
                    [akin.interaction("v", "b", "PURCHASE", recommendation_id=by_item)]
                )
            )
            clicked = {source: count for (source, _), (_, count) in counts_of(client).items()}
            assert {"item": 1, "user": 2} == clicked
        metrics = scraped(address)
        assert 'akin_recommendations_total{signals="text",source="user"} 3.0' in metrics
        assert 'akin_recommendations_total{signals="text",source="item"} 1.0' in metrics
        assert 'akin_recommendations_total{signals="text",source="text"}' not in metrics
        assert 'akin_clicked_recommendations_total{signals="text",source="user"} 2.0' in metrics
        assert 0 == server.stop()
    with RunningServer(tmp_path) as server, server.client() as client:
        expected = {("item", "text"): (1, 1), ("user", "text"): (3, 2)}
        assert expected == counts_of(client)
        client.record_interactions(
            [akin.interaction("w", "a", "LIKE", recommendation_id=by_user[2])]
        )
        client.delete_interactions("u")
        assert {**expected, ("user", "text"): (3, 3)} == counts_of(client)


def test_an_id_of_another_catalog_is_refused(tmp_path: Path) -> None:
    """An interaction can name only a response for its own catalog, not for a deleted one."""
    with RunningServer(tmp_path) as server, server.client() as client:
        fill(client)
        recommendation_id = client.recommend_similar(text="tea").recommendation_id
        client.create_catalog("other")
        named = [
            akin.interaction("u", "a", "LIKE"),
            akin.interaction("u", "a", "LIKE", recommendation_id=recommendation_id),
        ]
        with server.client(catalog="other") as other:
            other.upsert_item("a", "tea")
            former = other.recommend_similar(text="tea").recommendation_id
            client.delete_catalog("other")
            client.create_catalog("other")
            for name in (recommendation_id, former, "made-up", recommendation_id[:-1] + "!"):
                named[1].recommendation_id = name
                with pytest.raises(akin.AkinError) as caught:
                    other.record_interactions(named)
                assert ["interactions[1].recommendation_id"] == [
                    violation.field for violation in caught.value.violations
                ]
            assert 0 == other.list_interactions().total_size
        named[1].recommendation_id = recommendation_id
        assert 1 == client.record_interactions(named[1:]).recorded_count
        (listed,) = client.list_interactions().interactions
        assert recommendation_id == listed.recommendation_id


def test_workers_count_together(tmp_path: Path) -> None:
    """Responses of all workers add up, and a response counts once whichever worker gets clicks."""
    with RunningServer(tmp_path, WORKERS="2") as server, ExitStack() as stack:
        client = stack.enter_context(server.client())
        fill(client)
        sequence = client.get_catalog().sequence
        channels = connect_to_workers(server, stack, 2).values()
        query = pb.RecommendSimilarRequest(text="tea", min_sequence=sequence)
        ids = [
            pb_grpc.RecommenderServiceStub(channel)
            .RecommendSimilar(query, timeout=WAIT_SECONDS)
            .recommendation_id
            for channel in channels
        ]
        for user_id, channel in zip("uv", channels, strict=True):
            interactions = [
                akin.interaction(user_id, item_id, "CLICK", recommendation_id=name)
                for item_id, name in zip("ab", ids, strict=True)
            ]
            InteractionServiceStub(channel).RecordInteractions(
                RecordInteractionsRequest(interactions=interactions), timeout=WAIT_SECONDS
            )
        assert {("text", "text"): (0, 2)} == counts_of(client)
        assert 0 == server.stop()
    with RunningServer(tmp_path) as server, server.client() as client:
        assert {("text", "text"): (2, 2)} == counts_of(client)
