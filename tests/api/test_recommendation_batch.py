"""Batches of queries through the servicer, over real stores and indexes."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from akin.v1 import item_pb2, user_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.rpc import code_pb2
from support.embedders import SPACE, Fault, FaultyEmbedder, WordEmbedder
from support.open_catalogs import word_catalogs

from service import errors
from service.api.recommendation_batch import MAX_RUNNING_QUERIES, QUERIES_AT_ONCE, BatchRunner
from service.api.recommender_servicer import RecommenderServicer
from service.domain import limits
from service.domain.spaces import Model, VectorStorage

QUERIES = [
    pb.RecommendSimilarRequest(item_id="jazz"),
    pb.RecommendSimilarRequest(user_id="ann", explain=True),
    pb.RecommendSimilarRequest(text="a club in the city", limit=2, view=item_pb2.ITEM_VIEW_FULL),
    pb.RecommendSimilarRequest(
        examples=pb.Examples(
            positive=[pb.Example(item_id="heist")], negative=[pb.Example(text="night")]
        )
    ),
    pb.RecommendSimilarRequest(popular=pb.Popular()),
    pb.RecommendSimilarRequest(user_id="nobody", fallback=pb.FALLBACK_POPULAR),
]
ITEMS = {
    "jazz": "a jazz trumpet player in a smoky club",
    "heist": "thieves plan a heist in the city",
    "police": "city police chase thieves by night",
}


@asynccontextmanager
async def serving(folder: Path, embedder: WordEmbedder) -> AsyncIterator[RecommenderServicer]:
    """Serve a catalog `films` with some items and a user."""
    model = Model(replace(SPACE, model="film words"))
    async with word_catalogs(folder, {model: embedder}) as factory:
        await factory.stores.generations.create_catalog("films", model, VectorStorage.FLOAT32)
        await factory.catalogs.update()
        servicer = RecommenderServicer(factory.catalogs, time.time_ns)
        for item_id, text in ITEMS.items():
            item = item_pb2.Item(item_id=item_id, text=text)
            await servicer.UpsertItem(pb.UpsertItemRequest(catalog="films", item=item))
        user = user_pb2.User(
            user_id="ann",
            preferences=[user_pb2.Preference(text="police")],
            liked_items=[user_pb2.LikedItem(item_id="jazz")],
        )
        await servicer.UpsertUser(pb.UpsertUserRequest(catalog="films", user=user))
        yield servicer


def batch(*queries: pb.RecommendSimilarRequest) -> pb.BatchRecommendRequest:
    return pb.BatchRecommendRequest(catalog="films", queries=queries)


def single(query: pb.RecommendSimilarRequest) -> pb.RecommendSimilarRequest:
    """Return the same query as a request of its own."""
    request = pb.RecommendSimilarRequest(catalog="films")
    request.MergeFrom(query)
    return request


async def test_a_batch_answers_like_single_calls(tmp_path: Path) -> None:
    """Each query of a batch has the response of the same call, apart from its usage and its id.

    The index may have reached a later write, of the user, at the second time.
    """
    async with serving(tmp_path, WordEmbedder()) as servicer:
        response = await servicer.BatchRecommend(batch(*QUERIES))
        expected = [await servicer.RecommendSimilar(single(query)) for query in QUERIES]
    answers = [result.response for result in response.results]
    assert len(QUERIES) == len({answer.recommendation_id for answer in answers})
    for answer in (*expected, *answers):
        answer.ClearField("usage")
        answer.ClearField("recommendation_id")
        answer.ClearField("sequence")
    assert expected == answers
    assert {0} == {result.code for result in response.results}
    assert any(answer.recommendations for answer in expected)


async def test_one_failure_does_not_affect_the_others(tmp_path: Path) -> None:
    """Each query that fails has its error in its place, and the others are answered."""
    failing = {
        "USER_NOT_FOUND": pb.RecommendSimilarRequest(user_id="nobody"),
        "ITEM_NOT_FOUND": pb.RecommendSimilarRequest(item_id="nothing"),
        "INVALID_REQUEST": pb.RecommendSimilarRequest(text="city", limit=-1),
    }
    good = pb.RecommendSimilarRequest(text="city", catalog="films")
    other = pb.RecommendSimilarRequest(text="city", catalog="shop")
    async with serving(tmp_path, WordEmbedder()) as servicer:
        response = await servicer.BatchRecommend(batch(good, *failing.values(), other, good))
    results = response.results
    assert ["", *failing, "INVALID_REQUEST", ""] == [result.reason for result in results]
    codes = [code_pb2.NOT_FOUND, code_pb2.NOT_FOUND, *[code_pb2.INVALID_ARGUMENT] * 2]
    assert [0, *codes, 0] == [result.code for result in results]
    assert "limit must be between" in results[3].message
    assert "catalog must be unset" in results[4].message
    for result in results:
        assert (result.code == 0) == result.HasField("response") == (not result.message)
    assert results[0].response.recommendations == results[5].response.recommendations


async def test_the_texts_of_a_batch_are_embedded_together(tmp_path: Path) -> None:
    """The texts of all queries are one request to the embedder, and equal texts are embedded once.

    The usage of the batch counts each text once.
    """
    embedder = WordEmbedder()
    texts = [f"text {number // 2}" for number in range(limits.BATCH_QUERIES)]
    async with serving(tmp_path, embedder) as servicer:
        before = len(embedder.batches)
        response = await servicer.BatchRecommend(
            batch(*(pb.RecommendSimilarRequest(text=text) for text in texts))
        )
    assert [tuple(dict.fromkeys(texts))] == embedder.batches[before:]
    assert len(texts) // 2 == response.usage.text_count == response.usage.embedded_text_count
    assert not any(result.response.HasField("usage") for result in response.results)


async def test_queries_without_texts_survive_an_outage(tmp_path: Path) -> None:
    """While no text can be embedded, the queries that need no new vector are answered."""
    embedder = FaultyEmbedder()
    async with serving(tmp_path, embedder) as servicer:
        embedder.fault = Fault.UNAVAILABLE
        new = pb.RecommendSimilarRequest(text="an unseen text")
        response = await servicer.BatchRecommend(batch(QUERIES[0], new, QUERIES[1]))
    assert ["", "EMBEDDING_UNAVAILABLE", ""] == [result.reason for result in response.results]


@pytest.mark.parametrize("count", [0, limits.BATCH_QUERIES + 1])
async def test_the_number_of_queries_is_limited(tmp_path: Path, count: int) -> None:
    """A batch without queries, or with too many, is invalid as a whole."""
    async with serving(tmp_path, WordEmbedder()) as servicer:
        with pytest.raises(errors.InvalidRequest, match="queries must have 1 to 100 entries"):
            await servicer.BatchRecommend(batch(*[QUERIES[0]] * count))


async def test_a_batch_waits_for_its_writes(tmp_path: Path) -> None:
    """The largest min_sequence of valid queries must be a write, or an error names the query."""
    async with serving(tmp_path, WordEmbedder()) as servicer:
        near = pb.RecommendSimilarRequest(text="city", min_sequence=1)
        future = pb.RecommendSimilarRequest(text="city", min_sequence=10**6)
        with pytest.raises(errors.InvalidRequest) as raised:
            await servicer.BatchRecommend(batch(QUERIES[0], near, future, future, near))
        (violation,) = raised.value.violations
        assert "queries[2].min_sequence" == violation.field
        future.limit = -1
        response = await servicer.BatchRecommend(batch(QUERIES[0], future))
    assert [0, code_pb2.INVALID_ARGUMENT] == [result.code for result in response.results]


async def test_results_that_exceed_a_message_are_dropped() -> None:
    """A batch ends at the query whose result no longer fits; the later ones are not answered."""
    answered = []
    item = item_pb2.Item(text="x" * limits.TEXT_BYTES)

    async def answer(number: int) -> pb.RecommendSimilarResponse:
        answered.append(number)
        return pb.RecommendSimilarResponse(recommendations=[pb.Recommendation(item=item)])

    with pytest.raises(errors.AnswerTooLarge):
        await BatchRunner().run(range(limits.BATCH_QUERIES), answer)
    assert len(answered) <= limits.MESSAGE_BYTES // limits.TEXT_BYTES + QUERIES_AT_ONCE


async def test_a_query_that_exceeds_a_message_alone_has_the_error() -> None:
    """The other queries are answered if what one of them requests does not fit into a message."""

    async def answer(number: int) -> pb.RecommendSimilarResponse:
        if number == 1:
            raise errors.AnswerTooLarge("the vectors are too large")
        return pb.RecommendSimilarResponse()

    results = await BatchRunner().run(range(3), answer)
    assert ["", "ANSWER_TOO_LARGE", ""] == [result.reason for result in results]
    assert [0, code_pb2.FAILED_PRECONDITION, 0] == [result.code for result in results]
    assert "the vectors are too large" == results[1].message


async def test_batches_take_turns() -> None:
    """Few queries of all batches run at a time, and a small batch does not wait for a large one."""
    runner, running, peak, order = BatchRunner(), 0, 0, []

    async def answer(name: str) -> pb.RecommendSimilarResponse:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        order.append(name)
        return pb.RecommendSimilarResponse()

    large = [runner.run([f"large {number}"] * 100, answer) for number in range(5)]
    await asyncio.gather(*large, runner.run(["small"] * 2, answer))
    assert peak == MAX_RUNNING_QUERIES
    assert max(at for at, name in enumerate(order) if name == "small") < len(order) // 4


async def test_a_failure_of_the_store_ends_a_batch() -> None:
    """An error that is not due to a query is that of the batch, and no further query runs."""
    answered = []

    async def answer(number: int) -> pb.RecommendSimilarResponse:
        answered.append(number)
        if number == 1:
            raise errors.StoreUnavailable("the disk is gone")
        return pb.RecommendSimilarResponse()

    with pytest.raises(errors.StoreUnavailable):
        await BatchRunner().run(range(100), answer)
    assert len(answered) <= 1 + 2 * QUERIES_AT_ONCE
