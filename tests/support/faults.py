"""Responses of a provider, by name: every kind that real providers have sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.embedding.errors import (
    BatchTooLarge,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    TextRefused,
)
from support.provider import Fault, Reply, answer, failure, vector

HTML = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"


@dataclass(frozen=True)
class Refusal:
    """The provider error that a response stands for."""

    kind: type[ProviderError]
    retry_after_seconds: float | None = None
    throttled: bool = False
    certain: bool | None = None


def change_fields(**changes: Any) -> Fault:
    """Return a good response with other fields."""
    return lambda request: Reply(json.dumps(answer(request, **changes)).encode())


def replace_data(change: Callable[[list[dict[str, Any]]], Any]) -> Fault:
    """Return a good response with `change` applied to its list of vectors."""

    def fault(request: Mapping[str, Any]) -> Reply:
        value = answer(request)
        value["data"] = change(value["data"])
        return Reply(json.dumps(value).encode())

    return fault


def remove_field(name: str) -> Fault:
    """Return a good response without a field."""

    def fault(request: Mapping[str, Any]) -> Reply:
        value = answer(request)
        del value[name]
        return Reply(json.dumps(value).encode())

    return fault


def replace_rows(change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Fault:
    """Return a good response with `change` applied to each vector, by index and row."""
    return replace_data(lambda rows: [change(number, row) for number, row in enumerate(rows)])


def raw(body: bytes, status: int = 200, **headers: str) -> Fault:
    """Return a response of these bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: Reply(body, status, {"Content-Type": "application/json", **named})


def error(status: int, inside: Mapping[str, Any] | str | None, **headers: str) -> Fault:
    """Return a response with this `error`, of any type."""
    return raw(json.dumps({"error": inside}).encode(), status, **headers)


def encode_base64(row: dict[str, Any]) -> dict[str, Any]:
    packed = np.array(row["embedding"], "<f4").tobytes()
    return row | {"embedding": base64.b64encode(packed).decode()}


GOOD: dict[str, Fault] = {
    "as documented": change_fields(),
    "shuffled index": replace_data(lambda rows: rows[::-1]),
    "no index at all": replace_rows(lambda _n, row: {k: v for k, v in row.items() if k != "index"}),
    "index null": replace_rows(lambda _n, row: row | {"index": None}),
    "index as float": replace_rows(lambda n, row: row | {"index": float(n)}),
    "base64 though floats were asked": replace_rows(lambda _n, row: encode_base64(row)),
    "one vector in base64, the others not": replace_rows(
        lambda n, row: row if n else encode_base64(row)
    ),
    "usage missing": remove_field("usage"),
    "usage null": change_fields(usage=None),
    "usage without cost": change_fields(usage={"prompt_tokens": 3, "total_tokens": 3}),
    "usage is a word": change_fields(usage="much"),
    "model missing": remove_field("model"),
    "model is the upstream's name": change_fields(model="BAAI/bge-m3"),
    "id and provider missing": change_fields(id=None, provider=None),
    "unknown fields": change_fields(surprise={"deep": [1]}, openrouter_metadata=None),
    "error null beside data": change_fields(error=None),
    "whole numbers in a vector": replace_rows(lambda _n, row: row | {"embedding": [1, 2, 3, 4]}),
    "vectors far from unit length": replace_rows(
        lambda n, row: row | {"embedding": [1e6, 0.0, n, 1.0]}
    ),
    "white space before the JSON": lambda request: Reply(
        b"\n\n   " + json.dumps(answer(request)).encode() + b"\n"
    ),
    "Content-Type missing": lambda request: Reply(json.dumps(answer(request)).encode(), 200, {}),
    "Content-Type text/html": lambda request: Reply(
        json.dumps(answer(request)).encode(), 200, {"Content-Type": "text/html"}
    ),
    "status 201": lambda request: Reply(json.dumps(answer(request)).encode(), 201),
}

_TEMPORARY = Refusal(ProviderUnavailable)
_ACCOUNT = Refusal(ProviderRefused)
_UNCERTAIN = Refusal(TextRefused, certain=False)
_CERTAIN = Refusal(TextRefused, certain=True)

MALFORMED: dict[str, tuple[Fault, Refusal]] = {
    "duplicate index": (replace_rows(lambda _n, row: row | {"index": 0}), _TEMPORARY),
    "index out of range": (replace_rows(lambda n, row: row | {"index": n + 1}), _TEMPORARY),
    "negative index": (replace_rows(lambda n, row: row | {"index": -n}), _TEMPORARY),
    "index missing from the first": (
        replace_rows(lambda n, row: row | {"index": n or None}),
        _TEMPORARY,
    ),
    "index is a word": (replace_rows(lambda _n, row: row | {"index": "first"}), _TEMPORARY),
    "index is half": (replace_rows(lambda n, row: row | {"index": n + 0.5}), _TEMPORARY),
    "fewer vectors": (replace_data(lambda rows: rows[:-1]), _TEMPORARY),
    "more vectors": (replace_data(lambda rows: [*rows, rows[0]]), _TEMPORARY),
    "no vectors": (replace_data(lambda _rows: []), _TEMPORARY),
    "data missing": (remove_field("data"), _TEMPORARY),
    "data null": (change_fields(data=None), _TEMPORARY),
    "data is an object": (change_fields(data={"embedding": [1.0]}), _TEMPORARY),
    "data of words": (replace_data(lambda rows: ["vector" for _ in rows]), _TEMPORARY),
    "empty vector": (replace_rows(lambda _n, row: row | {"embedding": []}), _TEMPORARY),
    "vector null": (replace_rows(lambda _n, row: row | {"embedding": None}), _TEMPORARY),
    "vector missing": (replace_rows(lambda n, _row: {"index": n}), _TEMPORARY),
    "NaN in a vector": (
        replace_rows(lambda _n, row: row | {"embedding": [float("nan"), 1.0]}),
        _TEMPORARY,
    ),
    "infinity in a vector": (
        replace_rows(lambda _n, row: row | {"embedding": [1e400, 1.0]}),
        _TEMPORARY,
    ),
    "null in a vector": (
        replace_rows(lambda _n, row: row | {"embedding": [None, 1.0]}),
        _TEMPORARY,
    ),
    "word in a vector": (replace_rows(lambda _n, row: row | {"embedding": ["1.0"]}), _TEMPORARY),
    "different dimensions": (
        replace_rows(lambda n, row: row | {"embedding": [1.0] * (n + 2)}),
        _TEMPORARY,
    ),
    "invalid base64": (replace_rows(lambda _n, row: row | {"embedding": "%%%"}), _TEMPORARY),
    "base64 cut off": (replace_rows(lambda _n, row: row | {"embedding": "AAAAAAA="}), _TEMPORARY),
    "HTML in 200": (raw(HTML), _TEMPORARY),
    "empty body": (raw(b""), _TEMPORARY),
    "white space alone": (raw(b" \n "), _TEMPORARY),
    "truncated JSON": (raw(b'{"object":"list","data":[{"embedd'), _TEMPORARY),
    "JSON list": (raw(b"[]"), _TEMPORARY),
    "connection closed": (lambda _request: None, _TEMPORARY),
    "body cut off": (
        lambda request: Reply(json.dumps(answer(request)).encode(), cut=20),
        _TEMPORARY,
    ),
}

_WITHIN_200: dict[str, tuple[Mapping[str, Any], Refusal]] = {
    "no successful provider responses": (
        {"message": "No successful provider responses.", "code": 404},
        _TEMPORARY,
    ),
    "no endpoints found": ({"message": "No endpoints found for x/y.", "code": 404}, _ACCOUNT),
    "code 400": ({"message": "bad", "code": 400}, _UNCERTAIN),
    "code 401": ({"message": "bad", "code": 401}, _ACCOUNT),
    "code 402": ({"message": "bad", "code": 402}, _ACCOUNT),
    "code 413": ({"message": "bad", "code": 413}, Refusal(BatchTooLarge)),
    "code 429": ({"message": "bad", "code": 429}, Refusal(ProviderUnavailable, throttled=True)),
    "code 502": ({"message": "Provider returned error", "code": 502}, _TEMPORARY),
    "code as a string": ({"message": "bad", "code": "402"}, _ACCOUNT),
    "code null": ({"message": "bad", "code": None}, _TEMPORARY),
    "code missing, http_status set": ({"message": "bad", "http_status": 401}, _ACCOUNT),
    "no code at all": ({"message": "bad"}, _TEMPORARY),
    "upstream's JSON as text": (
        {
            "message": 'HTTP 400: {"error":{"message":"Invalid \'input[0]\': maximum input length '
            'is 8192 tokens."}}',
            "code": 400,
        },
        _CERTAIN,
    ),
}

INSIDE_200 = {
    f"200 with {name}": (error(200, inside), refusal)
    for name, (inside, refusal) in _WITHIN_200.items()
}

_STATUSES = {
    400: _UNCERTAIN,
    401: _ACCOUNT,
    402: _ACCOUNT,
    403: _ACCOUNT,
    404: _ACCOUNT,
    405: _ACCOUNT,
    408: _TEMPORARY,
    412: _ACCOUNT,
    413: Refusal(BatchTooLarge),
    422: _UNCERTAIN,
    429: Refusal(ProviderUnavailable, throttled=True),
    500: _TEMPORARY,
    502: _TEMPORARY,
    503: _TEMPORARY,
    504: _TEMPORARY,
    524: _TEMPORARY,
    529: _TEMPORARY,
}

STATUSES = {
    **{f"{status} with JSON": (failure(status), refusal) for status, refusal in _STATUSES.items()},
    **{
        f"{status} with HTML": (raw(HTML, status, Content_Type="text/html"), refusal)
        for status, refusal in _STATUSES.items()
    },
    **{f"{status} without a body": (raw(b"", status), _STATUSES[status]) for status in (429, 503)},
}


def _retry_later(seconds: float | None, *, throttled: bool = True) -> Refusal:
    return Refusal(ProviderUnavailable, seconds, throttled)


DETAILS: dict[str, tuple[Fault, Refusal]] = {
    "unknown model": (failure(400, "foo/bar is not a valid model ID"), _ACCOUNT),
    "model_not_found": (error(400, {"message": "x", "error_type": "model_not_found"}), _ACCOUNT),
    "data policy": (failure(404, "No endpoints found matching your data policy"), _ACCOUNT),
    "too many inputs": (failure(400, "Too many inputs in request"), Refusal(BatchTooLarge)),
    "batch size of TEI": (
        raw(b'{"error":"batch size 64 > maximum allowed batch size 32"}', 422),
        Refusal(BatchTooLarge),
    ),
    "100 requests of Gemini": (
        failure(400, "at most 100 requests can be in one batch"),
        Refusal(BatchTooLarge),
    ),
    "context_length_exceeded": (
        error(400, {"message": "x", "error_type": "context_length_exceeded"}),
        _CERTAIN,
    ),
    "string_too_long": (error(422, {"message": "x", "error_type": "string_too_long"}), _CERTAIN),
    "content policy": (
        failure(403, metadata={"reasons": ["violence"], "flagged_input": "..."}),
        _CERTAIN,
    ),
    "error is a string": (error(404, "model not found"), _ACCOUNT),
    "error without message": (error(500, {}), _TEMPORARY),
    "error of vLLM": (raw(b'{"object":"error","message":"bad","code":400}', 400), _UNCERTAIN),
    "detail of FastAPI": (raw(b'{"detail":[{"msg":"bad"}]}', 422), _UNCERTAIN),
    "metadata with raw JSON": (
        failure(502, "Provider returned error", metadata={"provider_name": "X", "raw": "{}"}),
        _TEMPORARY,
    ),
    "Retry-After in seconds": (error(429, {"code": 429}, Retry_After="3"), _retry_later(3.0)),
    "Retry-After in parts of one": (
        error(429, {"code": 429}, Retry_After="0.5"),
        _retry_later(0.5),
    ),
    "Retry-After long past": (
        error(429, {"code": 429}, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        _retry_later(0.0),
    ),
    "Retry-After absurd": (
        error(429, {"code": 429}, Retry_After="86400000"),
        _retry_later(86_400_000.0),
    ),
    "Retry-After negative": (error(429, {"code": 429}, Retry_After="-5"), _retry_later(0.0)),
    "Retry-After infinite": (error(429, {"code": 429}, Retry_After="inf"), _retry_later(None)),
    "Retry-After nonsense": (error(429, {"code": 429}, Retry_After="soon"), _retry_later(None)),
    "Retry-After with 503": (
        error(503, {"code": 503}, Retry_After="2"),
        _retry_later(2.0, throttled=False),
    ),
    "retry_after in the body": (
        error(429, {"code": 429, "availability": {"code": "capacity_exhausted", "retry_after": 7}}),
        _retry_later(7.0),
    ),
}


def echo(status: int) -> Fault:
    """Return an error whose message repeats the text."""
    return lambda request: failure(status, f"cannot embed {request['input'][0]}")(request)


ECHOES = {f"{status} that echoes": echo(status) for status in (400, 401, 413, 429, 500)}

__all__ = ["DETAILS", "ECHOES", "GOOD", "INSIDE_200", "MALFORMED", "STATUSES", "Refusal", "vector"]
