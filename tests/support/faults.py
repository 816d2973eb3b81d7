"""What a provider can answer, by name: every trap that has been met in the field."""

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
    """The failure that an answer stands for."""

    kind: type[ProviderError]
    retry_after_seconds: float | None = None
    throttled: bool = False
    certain: bool | None = None


def changed(**changes: Any) -> Fault:
    """A good answer with other fields."""
    return lambda request: Reply(json.dumps(answer(request, **changes)).encode())


def data(change: Callable[[list[dict[str, Any]]], Any]) -> Fault:
    """A good answer whose vectors went through `change`."""

    def fault(request: Mapping[str, Any]) -> Reply:
        value = answer(request)
        value["data"] = change(value["data"])
        return Reply(json.dumps(value).encode())

    return fault


def without(name: str) -> Fault:
    """A good answer that lacks a field."""

    def fault(request: Mapping[str, Any]) -> Reply:
        value = answer(request)
        del value[name]
        return Reply(json.dumps(value).encode())

    return fault


def each(change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Fault:
    """A good answer, each of whose vectors went through `change`, which gets its number too."""
    return data(lambda rows: [change(number, row) for number, row in enumerate(rows)])


def raw(body: bytes, status: int = 200, **headers: str) -> Fault:
    """An answer of these bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: Reply(body, status, {"Content-Type": "application/json", **named})


def error(status: int, inside: Mapping[str, Any] | str | None, **headers: str) -> Fault:
    """An answer with this `error`, whatever it is."""
    return raw(json.dumps({"error": inside}).encode(), status, **headers)


def encoded(row: dict[str, Any]) -> dict[str, Any]:
    packed = np.array(row["embedding"], "<f4").tobytes()
    return row | {"embedding": base64.b64encode(packed).decode()}


GOOD: dict[str, Fault] = {
    "as documented": changed(),
    "shuffled index": data(lambda rows: rows[::-1]),
    "no index at all": each(lambda _n, row: {k: v for k, v in row.items() if k != "index"}),
    "index null": each(lambda _n, row: row | {"index": None}),
    "index as float": each(lambda n, row: row | {"index": float(n)}),
    "base64 though floats were asked": each(lambda _n, row: encoded(row)),
    "one vector in base64, the others not": each(lambda n, row: row if n else encoded(row)),
    "usage missing": without("usage"),
    "usage null": changed(usage=None),
    "usage without cost": changed(usage={"prompt_tokens": 3, "total_tokens": 3}),
    "usage that is none": changed(usage="much"),
    "model missing": without("model"),
    "model is the upstream's name": changed(model="BAAI/bge-m3"),
    "id and provider missing": changed(id=None, provider=None),
    "unknown fields": changed(surprise={"deep": [1]}, openrouter_metadata=None),
    "error null beside data": changed(error=None),
    "whole numbers in a vector": each(lambda _n, row: row | {"embedding": [1, 2, 3, 4]}),
    "vectors far from unit length": each(lambda n, row: row | {"embedding": [1e6, 0.0, n, 1.0]}),
    "white space before the JSON": lambda request: Reply(
        b"\n\n   " + json.dumps(answer(request)).encode() + b"\n"
    ),
    "Content-Type missing": lambda request: Reply(json.dumps(answer(request)).encode(), 200, {}),
    "Content-Type text/html": lambda request: Reply(
        json.dumps(answer(request)).encode(), 200, {"Content-Type": "text/html"}
    ),
    "status 201": lambda request: Reply(json.dumps(answer(request)).encode(), 201),
}

_FOR_NOW = Refusal(ProviderUnavailable)
_OURS = Refusal(ProviderRefused)
_UNSURE = Refusal(TextRefused, certain=False)
_CERTAIN = Refusal(TextRefused, certain=True)

MALFORMED: dict[str, tuple[Fault, Refusal]] = {
    "duplicate index": (each(lambda _n, row: row | {"index": 0}), _FOR_NOW),
    "index out of range": (each(lambda n, row: row | {"index": n + 1}), _FOR_NOW),
    "negative index": (each(lambda n, row: row | {"index": -n}), _FOR_NOW),
    "index for some only": (each(lambda n, row: row | {"index": n or None}), _FOR_NOW),
    "index is a word": (each(lambda _n, row: row | {"index": "first"}), _FOR_NOW),
    "index is half": (each(lambda n, row: row | {"index": n + 0.5}), _FOR_NOW),
    "fewer vectors": (data(lambda rows: rows[:-1]), _FOR_NOW),
    "more vectors": (data(lambda rows: [*rows, rows[0]]), _FOR_NOW),
    "no vectors": (data(lambda _rows: []), _FOR_NOW),
    "data missing": (without("data"), _FOR_NOW),
    "data null": (changed(data=None), _FOR_NOW),
    "data is an object": (changed(data={"embedding": [1.0]}), _FOR_NOW),
    "data of words": (data(lambda rows: ["vector" for _ in rows]), _FOR_NOW),
    "empty vector": (each(lambda _n, row: row | {"embedding": []}), _FOR_NOW),
    "vector null": (each(lambda _n, row: row | {"embedding": None}), _FOR_NOW),
    "vector missing": (each(lambda n, _row: {"index": n}), _FOR_NOW),
    "NaN in a vector": (each(lambda _n, row: row | {"embedding": [float("nan"), 1.0]}), _FOR_NOW),
    "infinity in a vector": (each(lambda _n, row: row | {"embedding": [1e400, 1.0]}), _FOR_NOW),
    "null in a vector": (each(lambda _n, row: row | {"embedding": [None, 1.0]}), _FOR_NOW),
    "word in a vector": (each(lambda _n, row: row | {"embedding": ["1.0"]}), _FOR_NOW),
    "widths that differ": (each(lambda n, row: row | {"embedding": [1.0] * (n + 2)}), _FOR_NOW),
    "base64 that is none": (each(lambda _n, row: row | {"embedding": "%%%"}), _FOR_NOW),
    "base64 cut off": (each(lambda _n, row: row | {"embedding": "AAAAAAA="}), _FOR_NOW),
    "HTML in 200": (raw(HTML), _FOR_NOW),
    "empty body": (raw(b""), _FOR_NOW),
    "white space alone": (raw(b" \n "), _FOR_NOW),
    "truncated JSON": (raw(b'{"object":"list","data":[{"embedd'), _FOR_NOW),
    "JSON list": (raw(b"[]"), _FOR_NOW),
    "connection closed": (lambda _request: None, _FOR_NOW),
    "body cut off": (lambda request: Reply(json.dumps(answer(request)).encode(), cut=20), _FOR_NOW),
}

_WITHIN_200: dict[str, tuple[Mapping[str, Any], Refusal]] = {
    "no successful provider responses": (
        {"message": "No successful provider responses.", "code": 404},
        _FOR_NOW,
    ),
    "no endpoints found": ({"message": "No endpoints found for x/y.", "code": 404}, _OURS),
    "code 400": ({"message": "bad", "code": 400}, _UNSURE),
    "code 401": ({"message": "bad", "code": 401}, _OURS),
    "code 402": ({"message": "bad", "code": 402}, _OURS),
    "code 413": ({"message": "bad", "code": 413}, Refusal(BatchTooLarge)),
    "code 429": ({"message": "bad", "code": 429}, Refusal(ProviderUnavailable, throttled=True)),
    "code 502": ({"message": "Provider returned error", "code": 502}, _FOR_NOW),
    "code as a string": ({"message": "bad", "code": "402"}, _OURS),
    "code null": ({"message": "bad", "code": None}, _FOR_NOW),
    "code missing, http_status there": ({"message": "bad", "http_status": 401}, _OURS),
    "no code at all": ({"message": "bad"}, _FOR_NOW),
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
    400: _UNSURE,
    401: _OURS,
    402: _OURS,
    403: _OURS,
    404: _OURS,
    405: _OURS,
    408: _FOR_NOW,
    412: _OURS,
    413: Refusal(BatchTooLarge),
    422: _UNSURE,
    429: Refusal(ProviderUnavailable, throttled=True),
    500: _FOR_NOW,
    502: _FOR_NOW,
    503: _FOR_NOW,
    504: _FOR_NOW,
    524: _FOR_NOW,
    529: _FOR_NOW,
}

STATUSES = {
    **{f"{status} with JSON": (failure(status), refusal) for status, refusal in _STATUSES.items()},
    **{
        f"{status} with HTML": (raw(HTML, status, Content_Type="text/html"), refusal)
        for status, refusal in _STATUSES.items()
    },
    **{f"{status} without a body": (raw(b"", status), _STATUSES[status]) for status in (429, 503)},
}


def _later(seconds: float | None, *, throttled: bool = True) -> Refusal:
    return Refusal(ProviderUnavailable, seconds, throttled)


DETAILS: dict[str, tuple[Fault, Refusal]] = {
    "unknown model": (failure(400, "foo/bar is not a valid model ID"), _OURS),
    "model_not_found": (error(400, {"message": "x", "error_type": "model_not_found"}), _OURS),
    "data policy": (failure(404, "No endpoints found matching your data policy"), _OURS),
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
    "error is a string": (error(404, "model not found"), _OURS),
    "error without message": (error(500, {}), _FOR_NOW),
    "error of vLLM": (raw(b'{"object":"error","message":"bad","code":400}', 400), _UNSURE),
    "detail of FastAPI": (raw(b'{"detail":[{"msg":"bad"}]}', 422), _UNSURE),
    "metadata with raw JSON": (
        failure(502, "Provider returned error", metadata={"provider_name": "X", "raw": "{}"}),
        _FOR_NOW,
    ),
    "Retry-After in seconds": (error(429, {"code": 429}, Retry_After="3"), _later(3.0)),
    "Retry-After in parts of one": (error(429, {"code": 429}, Retry_After="0.5"), _later(0.5)),
    "Retry-After long past": (
        error(429, {"code": 429}, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
        _later(0.0),
    ),
    "Retry-After absurd": (error(429, {"code": 429}, Retry_After="86400000"), _later(86_400_000.0)),
    "Retry-After negative": (error(429, {"code": 429}, Retry_After="-5"), _later(0.0)),
    "Retry-After infinite": (error(429, {"code": 429}, Retry_After="inf"), _later(None)),
    "Retry-After nonsense": (error(429, {"code": 429}, Retry_After="soon"), _later(None)),
    "Retry-After with 503": (
        error(503, {"code": 503}, Retry_After="2"),
        _later(2.0, throttled=False),
    ),
    "retry_after in the body": (
        error(429, {"code": 429, "availability": {"code": "capacity_exhausted", "retry_after": 7}}),
        _later(7.0),
    ),
}


def echo(status: int) -> Fault:
    """An error whose message repeats the text."""
    return lambda request: failure(status, f"cannot embed {request['input'][0]}")(request)


ECHOES = {f"{status} that echoes": echo(status) for status in (400, 401, 413, 429, 500)}

__all__ = ["DETAILS", "ECHOES", "GOOD", "INSIDE_200", "MALFORMED", "STATUSES", "Refusal", "vector"]
