from collections.abc import Iterator

import pytest
from support.faults import HTML, Refusal, error, raw
from support.provider import Fault, ScriptedProvider, failure

from service.domain.spaces import Space
from service.embedding.embedder import BatchLimits
from service.embedding.errors import (
    BatchTooLarge,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)
from service.embedding.openai_compatible import Endpoint, OpenAICompatibleEmbedder

pytestmark = pytest.mark.slow

TEMPORARY = Refusal(ProviderUnavailable)
THROTTLED = Refusal(ProviderUnavailable, throttled=True)
ACCOUNT = Refusal(ProviderRefused)
UNCERTAIN = Refusal(TextRefused, certain=False)
CERTAIN = Refusal(TextRefused, certain=True)
SMALLER = Refusal(BatchTooLarge)

TYPES = {
    "context_length_exceeded": (400, CERTAIN),
    "token_limit_exceeded": (400, CERTAIN),
    "string_too_long": (400, CERTAIN),
    "invalid_request": (400, UNCERTAIN),
    "invalid_prompt": (400, UNCERTAIN),
    "authentication": (401, ACCOUNT),
    "payment_required": (402, ACCOUNT),
    "permission_denied": (403, ACCOUNT),
    "content_policy_violation": (403, CERTAIN),
    "not_found": (404, ACCOUNT),
    "precondition_failed": (412, ACCOUNT),
    "payload_too_large": (413, SMALLER),
    "unprocessable": (422, UNCERTAIN),
    "rate_limit_exceeded": (429, THROTTLED),
    "server": (500, TEMPORARY),
    "unmapped": (500, TEMPORARY),
    "provider_unavailable": (502, TEMPORARY),
    "provider_overloaded": (503, TEMPORARY),
    "timeout": (504, TEMPORARY),
}

AVAILABILITY = {
    "model_not_found": (400, ACCOUNT),
    "wrong_endpoint": (400, ACCOUNT),
    "region_restricted": (403, ACCOUNT),
    "no_endpoints": (404, ACCOUNT),
    "model_deprecated": (404, ACCOUNT),
    "model_unavailable_upstream": (404, ACCOUNT),
    "privacy_restricted": (404, ACCOUNT),
    "constraint_filtered": (404, ACCOUNT),
    "free_variant_ended": (404, ACCOUNT),
    "capacity_exhausted": (429, Refusal(ProviderUnavailable, 4.0, throttled=True)),
    "temporarily_unavailable": (503, Refusal(ProviderUnavailable, 4.0)),
}

EXAMPLES = {
    "Invalid request parameters": (400, UNCERTAIN),
    "Missing Authentication header": (401, ACCOUNT),
    "User not found.": (401, ACCOUNT),
    "Insufficient credits. Add more using https://openrouter.ai/credits": (402, ACCOUNT),
    "Resource not found": (404, ACCOUNT),
    "Operation timed out. Please try again later.": (408, TEMPORARY),
    "Request payload too large": (413, SMALLER),
    "Rate limit exceeded": (429, THROTTLED),
    "Internal Server Error": (500, TEMPORARY),
    "Provider returned error": (502, TEMPORARY),
    "Service temporarily unavailable": (503, TEMPORARY),
    "Request timed out. Please try again later.": (524, TEMPORARY),
    "Provider is overloaded": (529, TEMPORARY),
}

LIMITS = {
    "Mistral": (400, "Too many inputs in request, split into more batches."),
    "SiliconFlow": (413, "input batch size 473 > maximum allowed batch size 64"),
    "DashScope": (400, "batch size is invalid, it should not be larger than 10"),
    "Gemini": (400, "at most 100 requests can be in one batch"),
}


def metadata(status: int, message: str = "it failed", **inside: object) -> Fault:
    return failure(status, message, metadata=inside)


METADATA: dict[str, tuple[Fault, Refusal]] = {
    "credits gone, with a hint": (
        metadata(402, limit_source="openrouter_credits", remedy_hint="buy"),
        ACCOUNT,
    ),
    "shared pool of the upstream": (
        metadata(429, provider_name="X", limit_source="upstream_provider_shared_pool"),
        THROTTLED,
    ),
    "previous errors": (
        metadata(503, previous_errors=[{"provider": "X", "code": 413, "status": 413}]),
        TEMPORARY,
    ),
    "raw as an object": (metadata(502, raw={"error": {"code": 400}}), TEMPORARY),
    "raw as text": (metadata(502, raw="upstream fell over"), TEMPORARY),
    "raw with the context length": (
        metadata(400, "Provider returned error", raw='{"m":"maximum context length is 512"}'),
        CERTAIN,
    ),
    "moderation": (
        metadata(403, reasons=["hate"], flagged_input="...", provider_name="X", model_slug="m"),
        CERTAIN,
    ),
    "guardrail's patterns": (metadata(403, patterns=["ignore .* instructions"]), CERTAIN),
    "patterns in the message only": (failure(403, 'no "patterns": none'), ACCOUNT),
    "metadata null": (failure(500, metadata=None), TEMPORARY),
    "throttled by tokens": (
        failure(429, "Too many tokens, please wait before trying again."),
        THROTTLED,
    ),
    "throttled, with a length in the message": (failure(429, "context length quota"), THROTTLED),
    "throttled inside 200 by tokens": (
        error(200, {"code": 429, "message": "Too many tokens, please wait"}),
        THROTTLED,
    ),
    "code as an infinite number": (raw(b'{"error":{"code":1e400,"message":"x"}}', 502), TEMPORARY),
    "code beyond any float": (error(502, {"code": 10**400, "message": "x"}), TEMPORARY),
    "code true": (error(502, {"code": True, "message": "x"}), TEMPORARY),
    "code is a word, status is known": (error(402, {"code": "insufficient_quota"}), ACCOUNT),
    "code 200 beside an error": (error(200, {"code": 200, "message": "x"}), TEMPORARY),
    "code of its own beside a null code": (error(200, {"code": None, "http_status": 402}), ACCOUNT),
    "user_id and openrouter_metadata": (
        raw(b'{"error":{"code":402},"user_id":"u","openrouter_metadata":{}}', 402),
        ACCOUNT,
    ),
    "error beside data": (raw(b'{"error":{"code":402},"data":[]}'), ACCOUNT),
    "rate limit headers without Retry-After": (
        error(429, {"code": 429}, X_RateLimit_Limit="20", X_RateLimit_Reset="1700000000000"),
        THROTTLED,
    ),
    "header has precedence over the body's hint": (
        error(429, {"code": 429, "availability": {"retry_after": 9}}, Retry_After="2"),
        Refusal(ProviderUnavailable, 2.0, throttled=True),
    ),
    "body's hint is malformed": (error(429, {"availability": {"retry_after": ["x"]}}), THROTTLED),
    "redirect": (raw(b"", 308, Location="https://elsewhere.invalid"), ACCOUNT),
    "moved for good": (raw(HTML, 301, Location="https://elsewhere.invalid"), ACCOUNT),
    "moved for now": (raw(b"", 302, Location="/login"), ACCOUNT),
    "status gone": (raw(b"", 410), ACCOUNT),
}

CASES: dict[str, tuple[Fault, Refusal]] = {
    **{
        f"error_type {name}": (error(status, {"message": "x", "error_type": name}), expected)
        for name, (status, expected) in TYPES.items()
    },
    **{
        f"error_type {name} inside 200": (
            error(200, {"message": "x", "error_type": name, "http_status": status}),
            expected,
        )
        for name, (status, expected) in TYPES.items()
    },
    **{
        f"availability {name}": (
            error(status, {"message": "x", "availability": {"code": name, "retry_after": 4}}),
            expected,
        )
        for name, (status, expected) in AVAILABILITY.items()
    },
    **{
        f"{status} {message}": (failure(status, message), expected)
        for message, (status, expected) in EXAMPLES.items()
    },
    **{
        f"batch limit of {name}": (failure(status, message), SMALLER)
        for name, (status, message) in LIMITS.items()
    },
    **METADATA,
}


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as scripted:
        yield scripted


async def catch_failure(provider: ScriptedProvider, fault: Fault) -> ProviderError:
    provider.script.append(fault)
    embedder = OpenAICompatibleEmbedder(
        Endpoint("openrouter", provider.url, "m"),
        Space("openrouter", "m", 64),
        BatchLimits(64, 100_000, 512),
        20.0,
    )
    try:
        with pytest.raises(ProviderError) as caught:
            await embedder.embed(["a secret recipe", "sailing ships"])
    finally:
        await embedder.close()
    return caught.value


@pytest.mark.parametrize("name", CASES)
async def test_errors_have_a_cause(provider: ScriptedProvider, name: str) -> None:
    """Each error of the API is the provider error with its cause and its retry delay."""
    fault, expected = CASES[name]
    caught_failure = await catch_failure(provider, fault)
    assert expected == Refusal(
        type(caught_failure),
        getattr(caught_failure, "retry_after_seconds", None),
        getattr(caught_failure, "throttled", False),
        getattr(caught_failure, "certain", None),
    )
