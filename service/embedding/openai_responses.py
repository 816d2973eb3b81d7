"""Reads a provider's answers: vectors, or one of the failures, whatever shape they come in.

Behaviour seen in the field decides here, not the published schema alone: errors inside HTTP 200,
missing, shuffled and fractional indexes, base64 where floats were asked for, HTML from proxies.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import numpy as np

from service.embedding.embedder import Embeddings, Vector
from service.embedding.errors import (
    BatchTooLarge,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)

_RETRYABLE = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)

_REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "the provider does not accept the API key",
    HTTPStatus.PAYMENT_REQUIRED: "the provider account has no credit left",
    HTTPStatus.FORBIDDEN: "the provider forbids the request",
    HTTPStatus.NOT_FOUND: "the provider has no such model, or no endpoint that fits the settings",
    HTTPStatus.METHOD_NOT_ALLOWED: "the base URL has no embeddings endpoint",
    HTTPStatus.PRECONDITION_FAILED: "the provider refuses the request's settings",
}

# Providers give these cases no code of their own. Phrases are matched in lower case.
_TOO_MANY = ("too many inputs", "batch size", "maximum batch", "at most 100 requests", "max_batch")
_TOO_LONG = (
    "maximum input length",
    "maximum context length",
    "context length",
    "context_length_exceeded",
    "token_limit_exceeded",
    "string_too_long",
    "too many tokens",
    "input is too long",
)
_MODEL = ("not a valid model", "model_not_found", "no endpoints found", "wrong_endpoint")
_NO_PROVIDER = "no successful provider responses"
_FLAGGED = ("content_policy_violation", "flagged_input", '"patterns":')


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received_at: float  # seconds since 1970 UTC, to make sense of a date in Retry-After


def read(answer: Answer, texts: int) -> Embeddings:
    """The vectors for `texts` texts, in their order.

    Widths are the provider's own; all are equal, and every number is finite.

    Raises:
        ProviderError: what the answer says, or that it makes no sense.
    """
    value = _json(answer.body)
    succeeded = HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
    if not succeeded or not isinstance(value, dict) or _error(value) is not None:
        raise _failure(answer, value)
    if not isinstance(value.get("data"), list):
        raise ProviderUnavailable("the provider's answer holds no vectors")
    vectors = _ordered(value["data"], texts)
    tokens, cost = _usage(value.get("usage"))
    return Embeddings(vectors, tokens, cost)


def _json(body: bytes) -> Any:  # noqa: ANN401  (whatever JSON says)
    try:
        return json.loads(body.strip())
    except (ValueError, RecursionError):
        return None


def _error(value: Mapping[str, Any]) -> Any:  # noqa: ANN401  (whatever JSON says)
    """The error of an answer; OpenAI-compatible servers put it under other names too."""
    if value.get("error") is not None:
        return value["error"]
    if "data" not in value:
        return value.get("detail") or value.get("message")
    return None


def _failure(answer: Answer, value: object) -> ProviderError:
    error = _error(value) if isinstance(value, dict) else None
    said = json.dumps(error).lower() if error is not None else ""
    code = _code(error, answer.status)
    if _NO_PROVIDER in said:
        # Reported with code 404 inside HTTP 200; mostly transient, whatever the code says.
        return ProviderUnavailable("no upstream of the provider answered")
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        # Its message may count tokens as well, and yet the texts are not at fault.
        return _unavailable(answer, error, code)
    if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or any(each in said for each in _TOO_MANY):
        return BatchTooLarge("the provider takes fewer texts at once")
    if any(each in said for each in _TOO_LONG):
        return TextRefused("is too long for the embedding model", certain=True)
    if any(each in said for each in _FLAGGED):
        return TextRefused("is refused by the provider's content policy", certain=True)
    if any(each in said for each in _MODEL):
        return ProviderRefused(_REFUSALS[HTTPStatus.NOT_FOUND])
    if code in _REFUSALS:
        return ProviderRefused(f"{_REFUSALS[HTTPStatus(code)]} (HTTP {code})")
    if code in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
        return TextRefused(f"is refused by the provider (HTTP {code})", certain=False)
    if (
        code in _RETRYABLE
        or code >= HTTPStatus.INTERNAL_SERVER_ERROR
        or code < HTTPStatus.BAD_REQUEST
    ):
        return _unavailable(answer, error, code)
    return ProviderRefused(f"the provider refuses the request (HTTP {code})")


def _unavailable(answer: Answer, error: object, code: int) -> ProviderUnavailable:
    throttled = code == HTTPStatus.TOO_MANY_REQUESTS
    if throttled:
        message = "the provider limits our rate (HTTP 429)"
    elif error is None and code == HTTPStatus.OK:
        message = "the provider's answer is no JSON object"
    else:
        message = f"the provider is unavailable (HTTP {code})"
    return ProviderUnavailable(message, _retry_after(answer, error), throttled=throttled)


def _code(error: object, status: int) -> int:
    """The error's own code where it has one; it may come as a string."""
    if isinstance(error, dict):
        for name in ("code", "http_status"):
            try:
                code = int(error[name])
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
            if HTTPStatus.BAD_REQUEST <= code < 600:  # noqa: PLR2004  (beyond HTTP)
                return code
    return status


def _retry_after(answer: Answer, error: object) -> float | None:
    """Seconds from Retry-After (a number or a date), or from the error's own hint."""
    given: object = answer.headers.get("retry-after")
    if given is None and isinstance(error, dict) and isinstance(error.get("availability"), dict):
        given = error["availability"].get("retry_after")
    if given is None:
        return None
    try:
        seconds = float(str(given))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(str(given)).timestamp() - answer.received_at
        except ValueError:
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _ordered(data: list[Any], texts: int) -> Vector:
    """The vectors of `data` in the order of the texts, float32 [texts, width]."""
    if len(data) != texts or not all(isinstance(each, dict) for each in data):
        raise ProviderUnavailable(f"the provider sent {len(data)} vectors for {texts} texts")
    positions = [each.get("index") for each in data]
    if all(position is None for position in positions):
        order = list(range(texts))
    else:
        order = [_position(position) for position in positions]
        if sorted(order) != list(range(texts)):
            raise ProviderUnavailable("the provider's vectors have wrong indexes")
    rows: list[Vector | None] = [None] * texts
    for position, each in zip(order, data, strict=True):
        rows[position] = _vector(each.get("embedding"))
    widths = {len(row) for row in rows if row is not None}
    if len(widths) != 1:
        raise ProviderUnavailable("the provider's vectors differ in width")
    return np.stack([row for row in rows if row is not None])


def _position(value: object) -> int:
    """An index, which may come as 0.0; -1 if it is none."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) and value.is_integer() else -1


def _vector(value: object) -> Vector:
    """One vector, from a list of numbers or from base64 of little-endian float32."""
    try:
        if isinstance(value, str):
            vector = np.frombuffer(base64.b64decode(value, validate=True), "<f4")
        elif isinstance(value, list) and all(type(each) in (int, float) for each in value):
            with np.errstate(over="ignore"):  # becomes infinite, which is refused below
                vector = np.array(value, np.float32)
        else:
            raise ProviderUnavailable("the provider sent a vector that is none")
    except (binascii.Error, ValueError, OverflowError):
        raise ProviderUnavailable("the provider sent a vector that is none") from None
    if not len(vector) or not np.isfinite(vector).all():
        raise ProviderUnavailable("the provider sent an empty vector, or numbers not finite")
    return vector


def _usage(usage: object) -> tuple[int, float]:
    """Tokens and dollars, as far as the provider tells them."""
    if not isinstance(usage, dict):
        return 0, 0.0
    tokens, cost = usage.get("prompt_tokens"), usage.get("cost")
    return int(_amount(tokens)), _amount(cost)


def _amount(value: object) -> float:
    """What is counted or paid; 0 for what cannot be, since one infinity would spoil every total."""
    try:
        amount = float(value) if isinstance(value, int | float) else 0.0
    except OverflowError:
        return 0.0
    return amount if math.isfinite(amount) and amount >= 0 else 0.0
