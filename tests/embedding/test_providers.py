import pytest
from support.provider import DIMENSIONS, ScriptedProvider, failure, success

from service import errors
from service.domain.spaces import Space
from service.embedding.model_families import find_family
from service.embedding.providers import open_default_embedder
from service.settings import Settings

UNKNOWN = "someone/new-model"


def settings(provider: ScriptedProvider, model: str = UNKNOWN, **others: object) -> Settings:
    return Settings(
        openrouter_api_key="sk-or-test",
        embedding_base_url=provider.url,
        embedding_model=model,
        **others,  # type: ignore[arg-type]
    )


async def opened(
    provider: ScriptedProvider,
    stored: Space | None = None,
    model: str = UNKNOWN,
    **others: object,
) -> tuple[Space, str]:
    made = await open_default_embedder(settings(provider, model, **others), stored)
    await made.embedder.close()
    return made.embedder.space, made.problem.message


async def test_the_first_answer_tells_the_width() -> None:
    """Without a setting the space is as wide as the vector the provider answers first."""
    with ScriptedProvider() as provider:
        space, problem = await opened(provider)
        assert ("", DIMENSIONS) == (problem, space.dimensions)
        assert ("openrouter", UNKNOWN) == (space.provider, space.model)


async def test_the_setting_goes_before_and_is_checked() -> None:
    """A width that was set is asked for; a provider that ignores it is told about."""
    with ScriptedProvider() as provider:
        assert (16, "") == ((await opened(provider, embedding_dimensions=16))[0].dimensions, "")
        assert 16 == provider.requests[0]["dimensions"]
        provider.otherwise = lambda request: success({**request, "dimensions": DIMENSIONS})
        space, problem = await opened(provider, embedding_dimensions=16)
        assert 16 == space.dimensions
        assert f"returns {DIMENSIONS} dimensions" in problem


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "API key"), (402, "no credit"), (404, "no such model")]
)
async def test_a_refusal_is_one_clear_sentence(status: int, sentence: str) -> None:
    """A bad key, no credit and an unknown model are told in a sentence, and the start goes on."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(status)
        space, problem = await opened(provider, embedding_dimensions=DIMENSIONS)
    assert sentence in problem
    assert DIMENSIONS == space.dimensions


async def test_while_the_provider_is_down_the_stored_width_serves() -> None:
    """What is on disk, or well known, tells the width when the provider cannot be asked."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(503)
        stored = Space("openrouter", UNKNOWN, 48)
        assert 48 == (await opened(provider, stored))[0].dimensions
        known, _ = await opened(provider, model="openai/text-embedding-3-large")
        assert 3072 == known.dimensions
        with pytest.raises(errors.EmbeddingUnavailable, match="AKIN_EMBEDDING_DIMENSIONS"):
            await opened(provider)
        with pytest.raises(errors.EmbeddingUnavailable):
            await opened(provider, Space("openrouter", "another/model", 48))


@pytest.mark.parametrize(
    ("model", "template", "query"),
    [
        ("intfloat/multilingual-e5-large", "query: {text}", "query: {text}"),
        ("intfloat/e5-base-v2", "query: {text}", "query: {text}"),
        ("baai/bge-m3", "{text}", "{text}"),
        ("openai/text-embedding-3-small", "{text}", "{text}"),
        ("baai/bge-large-en-v1.5", "{text}", "Represent this sentence"),
        ("qwen/qwen3-embedding-8b", "{text}", "Instruct: "),
    ],
)
def test_families_have_their_templates(model: str, template: str, query: str) -> None:
    """Each find_family gets the words it was trained with, items the same among each other."""
    found = find_family(model)
    assert template == found.template
    assert found.query_template.startswith(query)
    assert "{text}" in found.query_template


async def test_templates_and_input_type_belong_to_the_space() -> None:
    """Another template or input type makes another space; the prefix of other tools does not."""
    with ScriptedProvider() as provider:
        plain = (await opened(provider))[0]
        others = [
            (await opened(provider, embedding_template="a {text}"))[0],
            (await opened(provider, embedding_query_template="b {text}"))[0],
            (await opened(provider, embedding_input_type="document"))[0],
        ]
        assert 4 == len({plain.fingerprint, *(each.fingerprint for each in others)})
        assert plain == (await opened(provider, model=f"openrouter/{UNKNOWN}"))[0]


async def test_the_price_comes_from_the_list() -> None:
    """Dollars a token are those of the provider's list, 0 where it does not tell."""
    with ScriptedProvider() as provider:
        provider.models = [{"id": UNKNOWN, "pricing": {"prompt": "0.00000002"}}]
        made = await open_default_embedder(settings(provider), None)
        assert pytest.approx(2e-8) == await made.fetch_usd_per_token()
        other = await open_default_embedder(settings(provider, "else/where"), None)
        assert 0.0 == await other.fetch_usd_per_token()
        await made.embedder.close()
        await other.embedder.close()
