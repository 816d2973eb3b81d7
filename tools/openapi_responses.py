"""The responses that methods have in common, and their headers."""

from __future__ import annotations

from openapi_schemas import Json, refer

STATUS: Json = {
    "type": "object",
    "description": "An error, as google.rpc.Status.",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "integer", "format": "int32", "description": "The google.rpc.Code."},
        "message": {
            "type": "string",
            "description": "The explanation for people. Its wording can change.",
        },
        "details": {
            "type": "array",
            "description": "A google.rpc.ErrorInfo with the reason, and for some errors a "
            "google.rpc.BadRequest with the invalid fields or a google.rpc.RetryInfo.",
            "items": {
                "type": "object",
                "required": ["@type"],
                "properties": {"@type": {"type": "string"}},
            },
        },
    },
}

HEADERS: Json = {
    "RequestId": {
        "description": "The x-request-id of the request, or one that the server has made. The log "
        "line of the call has it.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "The seconds after which the call can be repeated, if it can.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WwwAuthenticate": {
        "description": "The scheme of the header authorization.",
        "required": True,
        "schema": {"type": "string", "const": "Bearer"},
    },
}


def describe_success(content: Json) -> Json:
    """The response to a call that succeeds."""
    return {"description": "Success.", "headers": _list_headers(), "content": content}


def _list_headers(**further: str) -> Json:
    names = {"x-request-id": "RequestId"} | further
    return {name: {"$ref": f"#/components/headers/{part}"} for name, part in names.items()}


def _make_error(description: str, **headers: str) -> Json:
    return {
        "description": description,
        "headers": _list_headers(**headers),
        "content": {"application/json": {"schema": refer("Status")}},
    }


_RETRY = {"retry-after": "RetryAfter"}

RESPONSES: Json = {
    "Unauthenticated": _make_error(
        "The server has API keys, and the call has none of them.",
        **{"www-authenticate": "WwwAuthenticate"},
    ),
    "PermissionDenied": _make_error(
        "The API key lacks the scope of the method or is for other catalogs, or a page of another "
        "site has sent the call."
    ),
    "NotFound": _make_error("The catalog, or what the path names in it, does not exist."),
    "RequestTimeout": _make_error("The client has sent no part of the body for 60 seconds."),
    "ContentTooLarge": _make_error("The body has more than 16 MiB."),
    "UnsupportedMediaType": _make_error("The body has another type, or is compressed."),
    "ResourceExhausted": _make_error(
        "The API key has used up its rate, or the server is overloaded or has too many catalogs.",
        **_RETRY,
    ),
    "Unavailable": _make_error("The server, its store or the provider is unavailable.", **_RETRY),
    "Error": _make_error("Another error."),
}


def list_errors(*, has_catalog: bool, has_body: bool, has_lines: bool) -> Json:
    """The responses to calls of a method that fail, by HTTP status.

    Args:
        has_catalog: whether the path names a catalog.
        has_body: whether requests have a body.
        has_lines: whether the body has lines, which can be of any number.
    """
    whole_body = has_body and not has_lines
    names = {
        "401": "Unauthenticated",
        "403": "PermissionDenied",
        "404": "NotFound" if has_catalog else "",
        "408": "RequestTimeout" if whole_body else "",
        "413": "ContentTooLarge" if whole_body else "",
        "415": "UnsupportedMediaType" if has_body else "",
        "429": "ResourceExhausted",
        "503": "Unavailable",
        "default": "Error",
    }
    return {
        code: {"$ref": f"#/components/responses/{name}"} for code, name in names.items() if name
    }
