from collections.abc import Iterator

import pytest
from support.faults import Refusal, error, raw
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

FOR_NOW = Refusal(ProviderUnavailable)
THROTTLED = Refusal(ProviderUnavailable, throttled=True)
OURS = Refusal(ProviderRefused)
UNSURE = Refusal(TextRefused, certain=False)
CERTAIN = Refusal(TextRefused, certain=True)
SMALLER = Refusal(BatchTooLarge)

TYPES = {
    "context_length_exceeded": (400, CERTAIN),
    "token_limit_exceeded": (400, CERTAIN),
    "string_too_long": (400, CERTAIN),
    "invalid_request": (400, UNSURE),
    "invalid_prompt": (400, UNSURE),
    "authentication": (401, OURS),
    "payment_required": (402, OURS),
    "permission_denied": (403, OURS),
    "content_policy_violation": (403, CERTAIN),
    "not_found": (404, OURS),
    "precondition_failed": (412, OURS),
    "payload_too_large": (413, SMALLER),
    "unprocessable": (422, UNSURE),
    "rate_limit_exceeded": (429, THROTTLED),
    "server": (500, FOR_NOW),
    "unmapped": (500, FOR_NOW),
    "provider_unavailable": (502, FOR_NOW),
    "provider_overloaded": (503, FOR_NOW),
    "timeout": (504, FOR_NOW),
}

AVAILABILITY = {
    "model_not_found": (400, OURS),
    "wrong_endpoint": (400, OURS),
    "region_restricted": (403, OURS),
    "no_endpoints": (404, OURS),
    "model_deprecated": (404, OURS),
    "model_unavailable_upstream": (404, OURS),
    "privacy_restricted": (404, OURS),
    "constraint_filtered": (404, OURS),
    "free_variant_ended": (404, OURS),
    "capacity_exhausted": (429, Refusal(ProviderUnavailable, 4.0, throttled=True)),
    "temporarily_unavailable": (503, Refusal(ProviderUnavailable, 4.0)),
}

EXAMPLES = {
    "Invalid request parameters": (400, UNSURE),
    "Missing Authentication header": (401, OURS),
    "User not found.": (401, OURS),
    "Insufficient credits. Add more using https://openrouter.ai/credits": (402, OURS),
    "Resource not found": (404, OURS),
    "Operation timed out. Please try again later.": (408, FOR_NOW),
    "Request payload too large": (413, SMALLER),
    "Rate limit exceeded": (429, THROTTLED),
    "Internal Server Error": (500, FOR_NOW),
    "Provider returned error": (502, FOR_NOW),
    "Service temporarily unavailable": (503, FOR_NOW),
    "Request timed out. Please try again later.": (524, FOR_NOW),
    "Provider is overloaded": (529, FOR_NOW),
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
        OURS,
    ),
    "shared pool of the upstream": (
        metadata(429, provider_name="X", limit_source="upstream_provider_shared_pool"),
        THROTTLED,
    ),
    "previous errors": (
        metadata(503, previous_errors=[{"provider": "X", "code": 413, "status": 413}]),
        FOR_NOW,
    ),
    "raw as an object": (metadata(502, raw={"error": {"code": 400}}), FOR_NOW),
    "raw as text": (metadata(502, raw="upstream fell over"), FOR_NOW),
    "raw tells of the context length": (
        metadata(400, "Provider returned error", raw='{"m":"maximum context length is 512"}'),
        CERTAIN,
    ),
    "moderation": (
        metadata(403, reasons=["hate"], flagged_input="...", provider_name="X", model_slug="m"),
        CERTAIN,
    ),
    "guardrail's patterns": (metadata(403, patterns=["ignore .* instructions"]), CERTAIN),
    "patterns that only the message speaks of": (failure(403, 'no "patterns": none'), OURS),
    "metadata null": (failure(500, metadata=None), FOR_NOW),
    "throttled by tokens": (
        failure(429, "Too many tokens, please wait before trying again."),
        THROTTLED,
    ),
    "throttled, with a word on lengths": (failure(429, "context length quota"), THROTTLED),
    "throttled inside 200 by tokens": (
        error(200, {"code": 429, "message": "Too many tokens, please wait"}),
        THROTTLED,
    ),
    "code as an infinite number": (raw(b'{"error":{"code":1e400,"message":"x"}}', 502), FOR_NOW),
    "code beyond any float": (error(502, {"code": 10**400, "message": "x"}), FOR_NOW),
    "code true": (error(502, {"code": True, "message": "x"}), FOR_NOW),
    "code a word, status known": (error(402, {"code": "insufficient_quota"}), OURS),
    "code 200 beside an error": (error(200, {"code": 200, "message": "x"}), FOR_NOW),
    "code of its own beside a null code": (error(200, {"code": None, "http_status": 402}), OURS),
    "user_id and openrouter_metadata": (
        raw(b'{"error":{"code":402},"user_id":"u","openrouter_metadata":{}}', 402),
        OURS,
    ),
    "error beside data": (raw(b'{"error":{"code":402},"data":[]}'), OURS),
    "rate limit headers without Retry-After": (
        error(429, {"code": 429}, X_RateLimit_Limit="20", X_RateLimit_Reset="1700000000000"),
        THROTTLED,
    ),
    "header goes before the body's hint": (
        error(429, {"code": 429, "availability": {"retry_after": 9}}, Retry_After="2"),
        Refusal(ProviderUnavailable, 2.0, throttled=True),
    ),
    "body's hint is none": (error(429, {"availability": {"retry_after": ["x"]}}), THROTTLED),
    "redirect": (raw(b"", 308, Location="https://elsewhere.invalid"), FOR_NOW),
    "status gone": (raw(b"", 410), OURS),
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
    with ScriptedProvider() as made:
        yield made


async def failure_of(provider: ScriptedProvider, fault: Fault) -> ProviderError:
    provider.script.append(fault)
    made = OpenAICompatibleEmbedder(
        Endpoint("openrouter", provider.url, "m"),
        Space("openrouter", "m", 64),
        BatchLimits(64, 100_000, 512),
        20.0,
    )
    try:
        with pytest.raises(ProviderError) as caught:
            await made.embed(["a secret recipe", "sailing ships"])
    finally:
        await made.close()
    return caught.value


@pytest.mark.parametrize("name", CASES)
async def test_errors_say_what_can_be_done(provider: ScriptedProvider, name: str) -> None:
    """Each error of the API becomes the failure that tells whose fault it is and when to retry."""
    fault, expected = CASES[name]
    found = await failure_of(provider, fault)
    assert expected == Refusal(
        type(found),
        getattr(found, "retry_after_seconds", None),
        getattr(found, "throttled", False),
        getattr(found, "certain", None),
    )
