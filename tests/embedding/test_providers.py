import re
from typing import Any

import pytest
import stamina
from support.provider import DIMENSIONS, ScriptedProvider, failure, success

from service import errors
from service.domain.spaces import Model, ModelChoice, Space
from service.domain.violations import Violation
from service.embedding.errors import ProviderRefused
from service.embedding.model_families import find_family
from service.embedding.openai_compatible import OpenAICompatibleEmbedder
from service.embedding.providers import open_default_embedder, open_embedder, probe_model
from service.settings import Settings

UNLISTED_MODEL = "someone/new-model"


def settings(provider: ScriptedProvider, model: str = UNLISTED_MODEL, **values: object) -> Settings:
    return Settings(
        openrouter_api_key="sk-or-test",
        embedding_base_url=provider.url,
        embedding_model=model,
        **values,  # type: ignore[arg-type]
    )


async def open_space(
    provider: ScriptedProvider,
    stored: Space | None = None,
    model: str = UNLISTED_MODEL,
    **values: object,
) -> tuple[Space, str]:
    priced = await open_default_embedder(settings(provider, model, **values), stored)
    await priced.embedder.close()
    return priced.embedder.space, priced.problem.message


async def test_the_probe_determines_the_dimensions() -> None:
    """Without a setting, the space has the dimensions of the provider's first vector."""
    with ScriptedProvider() as provider:
        space, problem = await open_space(provider)
        assert ("", DIMENSIONS) == (problem, space.dimensions)
        assert ("openrouter", UNLISTED_MODEL) == (space.provider, space.model)


async def test_the_setting_has_precedence_and_is_checked() -> None:
    """Configured dimensions are requested; a provider that ignores them is reported."""
    with ScriptedProvider() as provider:
        assert (16, "") == ((await open_space(provider, embedding_dimensions=16))[0].dimensions, "")
        assert 16 == provider.requests[0]["dimensions"]
        provider.otherwise = lambda request: success({**request, "dimensions": DIMENSIONS})
        space, problem = await open_space(provider, embedding_dimensions=16)
        assert 16 == space.dimensions
        assert f"returns {DIMENSIONS} dimensions" in problem


@pytest.mark.parametrize(
    ("status", "sentence"), [(401, "API key"), (402, "no credit"), (404, "no such model")]
)
async def test_a_refusal_is_one_clear_sentence(status: int, sentence: str) -> None:
    """A bad key, no credit and an unknown model are one sentence, and opening succeeds."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(status)
        space, problem = await open_space(provider, embedding_dimensions=DIMENSIONS)
    assert sentence in problem
    assert DIMENSIONS == space.dimensions


async def test_stored_dimensions_apply_while_the_provider_is_down() -> None:
    """While the provider is down, the stored space or the model's card has the dimensions."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(503)
        stored = Space("openrouter", UNLISTED_MODEL, 48)
        assert 48 == (await open_space(provider, stored))[0].dimensions
        space, _ = await open_space(provider, model="openai/text-embedding-3-large")
        assert 3072 == space.dimensions


async def test_unknown_dimensions_are_requested_until_the_provider_responds() -> None:
    """A provider that is down, or still loads the model, does not end the start of the server."""
    stamina.set_testing(True, attempts=10)
    try:
        with ScriptedProvider() as provider:
            provider.script += [failure(503), failure(499), lambda _request: None]
            space, problem = await open_space(provider, Space("openrouter", "another/model", 48))
    finally:
        stamina.set_testing(False)
    assert (DIMENSIONS, "") == (space.dimensions, problem)


async def test_a_refusal_with_unknown_dimensions_says_what_to_set() -> None:
    """If the provider refuses the request, the server cannot start, and the message says why."""
    with ScriptedProvider() as provider:
        provider.otherwise = failure(401)
        with pytest.raises(errors.EmbeddingRejected, match=r"API key.*AKIN_EMBEDDING_DIMENSIONS"):
            await open_space(provider)


async def test_refused_dimensions_are_not_sent_again() -> None:
    """A provider that refuses the field `dimensions` of a fixed model gets requests without it."""
    with ScriptedProvider() as provider:
        provider.otherwise = lambda request: (
            failure(400, "does not support matryoshka") if "dimensions" in request else success
        )(request)
        space, problem = await open_space(provider, embedding_dimensions=DIMENSIONS)
        assert (DIMENSIONS, "") == (space.dimensions, problem)
        _, problem = await open_space(provider, embedding_dimensions=16)
        assert f"returns {DIMENSIONS} dimensions" in problem
        configured = settings(provider, embedding_dimensions=DIMENSIONS)
        opened = await open_default_embedder(configured, None)
        before = len(provider.requests)
        await opened.embedder.embed(["tea"])
        await opened.embedder.embed(["coffee"])
        await opened.embedder.close()
        sent = ["dimensions" in request for request in provider.requests[before:]]
    assert [True, False, False] == sent


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
    """Each family has the templates that it was trained with."""
    family = find_family(model)
    assert template == family.template
    assert family.query_template.startswith(query)
    assert "{text}" in family.query_template


async def test_templates_and_input_type_belong_to_the_space() -> None:
    """Another template or input type is another space; the prefix of some tools is not."""
    with ScriptedProvider() as provider:
        plain = (await open_space(provider))[0]
        spaces = [
            (await open_space(provider, embedding_template="a {text}"))[0],
            (await open_space(provider, embedding_query_template="b {text}"))[0],
            (await open_space(provider, embedding_input_type="document"))[0],
        ]
        assert 4 == len({plain.fingerprint, *(space.fingerprint for space in spaces)})
        assert plain == (await open_space(provider, model=f"openrouter/{UNLISTED_MODEL}"))[0]


async def test_the_price_comes_from_the_list() -> None:
    """The price of a token is that of the provider's list, and 0 for an unlisted model."""
    with ScriptedProvider() as provider:
        provider.models = [{"id": UNLISTED_MODEL, "pricing": {"prompt": "0.00000002"}}]
        listed = await open_default_embedder(settings(provider), None)
        assert pytest.approx(2e-8) == await listed.fetch_usd_per_token()
        unlisted = await open_default_embedder(settings(provider, "else/where"), None)
        assert 0.0 == await unlisted.fetch_usd_per_token()
        await listed.embedder.close()
        await unlisted.embedder.close()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"embedder": "local"}, "must be local"),
        ({"embedder": "local", "openrouter_api_key": "k"}, "must be local or openrouter"),
        ({"openrouter_api_key": "k"}, "must be local or openrouter"),
        (
            {
                "embedder": "local",
                "embedding_base_url": "http://127.0.0.1:1",
                "embedding_model": "m",
            },
            "must be local or openai",
        ),
    ],
)
async def test_the_providers_of_a_server_are_named_once(values: dict[str, Any], rule: str) -> None:
    """A choice of another provider is refused with the distinct providers that are available.

    These are the local model and the provider to which the settings give access, even if the
    settings choose the local model.
    """
    with pytest.raises(errors.InvalidRequest) as raised:
        await probe_model(Settings(**values), ModelChoice("another"))
    assert (Violation("embedding.provider", rule),) == raised.value.violations


OPENROUTER_URL = "https://openrouter.ai/api/v1"

OPENAI = {
    "embedder": "openai",
    "embedding_base_url": "http://127.0.0.1:1",
    "embedding_model": "m",
}


@pytest.mark.parametrize("provider", ["openrouter", "openai"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"embedder": "local"},
        {"openrouter_api_key": "k"},
        {"embedder": "local", "openrouter_api_key": "k"},
        {"embedder": "openrouter", "openrouter_api_key": "k"},
        OPENAI,
        {**OPENAI, "embedder": "local"},
        {"embedding_base_url": "http://127.0.0.1:1"},
        {"embedder": "local", "embedding_base_url": "http://127.0.0.1:1"},
    ],
)
async def test_a_refusal_names_settings_that_give_access(
    values: dict[str, Any], provider: str
) -> None:
    """With the settings that the error of a catalog without access names, its provider is asked."""
    space = Space(provider, "model-x", DIMENSIONS)
    given = Settings(**values)
    priced = open_embedder(given, Model(space))
    if given.remote_kind != provider:
        with pytest.raises(ProviderRefused, match=r"model-x.*akin reembed") as raised:
            await priced.embedder.embed(["text"])
        samples = {"openrouter_api_key": "k", **OPENAI}
        pattern = r"(unset )?(AKIN_[A-Z_]+|OPENROUTER_API_KEY)(=\w+)?"
        named = re.findall(pattern, str(raised.value))
        assert named
        for is_unset, variable, value in named:
            name = variable.removeprefix("AKIN_").lower()
            values = {**values, name: value.removeprefix("=") or samples[name]}
            if is_unset:
                del values[name]
        priced = open_embedder(Settings(**values), Model(space))
        assert isinstance(priced.embedder, OpenAICompatibleEmbedder)
        urls = {"openrouter": OPENROUTER_URL, "openai": OPENAI["embedding_base_url"]}
        assert urls[provider] == priced.embedder._endpoint.base_url
    assert "Unavailable" not in type(priced.embedder).__name__
    await priced.embedder.close()


async def test_the_refusal_of_another_local_model_says_what_to_do() -> None:
    """A catalog of a local model that the server does not have names the model and a command."""
    space = Space("local", "model-x", DIMENSIONS)
    embedder = open_embedder(Settings(embedder="local"), Model(space)).embedder
    with pytest.raises(ProviderRefused, match=r"model-x.*akin reembed --provider local"):
        await embedder.embed(["text"])
