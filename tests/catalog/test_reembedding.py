from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.embedders import COST_USD_PER_TOKEN, SPACE
from support.open_catalogs import MODEL, word_catalogs
from support.reembeddings import reembeddings
from support.stores import indexed

from service.catalog.reembedding import ESTIMATED_ITEMS_AT_ONCE
from service.domain.spaces import Model, ModelChoice
from service.domain.stats import ReembeddingState
from service.embedding.token_estimates import estimate_tokens

OTHER = Model(replace(SPACE, model="other words"))
TEXTS = [f"the text of number {number}" for number in range(7)]


@pytest.mark.parametrize(("model", "cached_count"), [(OTHER, 0), (MODEL, len(TEXTS))])
async def test_an_estimate_counts_each_distinct_text_once(
    tmp_path: Path, model: Model, cached_count: int
) -> None:
    """A text counts once, whether or not its items are on the same page and it has vectors."""
    async with (
        word_catalogs(tmp_path) as factory,
        AsyncExitStack() as stack,
        factory.catalogs.use("shop") as catalog,
    ):
        writes = [
            indexed(f"{number:05}", TEXTS[number % len(TEXTS)])
            for number in range(2 * ESTIMATED_ITEMS_AT_ONCE + 1)
        ]
        await factory.stores.items.upsert_many(catalog.generations.serving.generation, writes)
        estimate = await reembeddings(factory, stack, model).estimate(
            catalog.record, ModelChoice("test")
        )
    tokens = 0 if cached_count else sum(map(estimate_tokens, TEXTS))
    assert (len(TEXTS), cached_count) == (
        estimate.usage.text_count,
        estimate.usage.cached_text_count,
    )
    assert (tokens, tokens * COST_USD_PER_TOKEN) == (
        estimate.usage.prompt_tokens,
        estimate.usage.cost_usd,
    )
    assert not estimate.sampled


async def test_progress_names_a_switch_only_once_it_serves(tmp_path: Path) -> None:
    """The process that says that a new generation serves uses it for the next call."""
    async with (
        word_catalogs(tmp_path) as factory,
        AsyncExitStack() as stack,
        factory.catalogs.use("shop") as catalog,
    ):
        await factory.start_next(OTHER)
        generations = factory.stores.generations
        former = catalog.record.serving.generation
        next_ = (await generations.list_catalogs())["shop"].next
        assert next_ is not None
        await generations.start_indexing(next_.generation)
        assert await generations.switch(former, next_.generation)

        progress = await reembeddings(factory, stack, OTHER).get(catalog.record)
        async with factory.catalogs.use("shop") as switched:
            assert progress.state is ReembeddingState.SERVING
            assert progress.to_space == switched.record.serving.model.space == OTHER.space
