import inspect
from collections.abc import Awaitable, Callable
from typing import Any, get_args, get_type_hints, is_typeddict

import akin
import pytest
from support import catalog_calls, interaction_calls, recommender_calls
from support.recording import RecordingServer

Call = Callable[..., Awaitable[Any]]


def options_by_method() -> dict[str, type]:
    """The methods of the clients that take keyword options, with the types of their options."""
    types = {}
    for name, method in inspect.getmembers(akin.Client, inspect.isfunction):
        for parameter in inspect.signature(method).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                hints = get_type_hints(method, include_extras=True)
                (types[name],) = get_args(hints[parameter.name])
    return types


def test_methods_have_options() -> None:
    """The inspection finds the methods with options, so that each of them is tested."""
    assert {"upsert_item", "recommend_similar", "create_catalog"} <= options_by_method().keys()


@pytest.mark.parametrize("method", options_by_method())
async def test_an_unknown_keyword_is_a_type_error(call: Call, method: str) -> None:
    """A keyword that a method does not have raises TypeError, which names it, before any call."""
    parameters = [*inspect.signature(getattr(akin.Client, method)).parameters.values()][1:]
    arguments = [
        ["x"] if "Iterable" in str(parameter.annotation) else "x"
        for parameter in parameters
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        and parameter.default is parameter.empty
    ]
    with RecordingServer() as server:
        with pytest.raises(TypeError, match="limmit"):
            await call(server.address, method, *arguments, limmit=7)
    assert [] == server.requests


@pytest.mark.parametrize("method", options_by_method())
def test_every_option_has_an_example(method: str) -> None:
    """The example requests of a method use each of its options, except deadlines and sources."""
    examples = (
        recommender_calls.CALLS_WITH_OPTIONS
        + catalog_calls.CALLS_WITH_OPTIONS
        + interaction_calls.CALLS_WITH_OPTIONS
    )
    (options,) = [{*example.options} for example in examples if example.method == method]
    optional = options_by_method()[method].__annotations__.keys() - {"timeout_seconds"}
    if method == "recommend_similar":
        optional -= {"item_id", "user_id", "text", "popular", "vector"}
    assert optional == options


@pytest.mark.parametrize(
    "options", [kind for kind in vars(akin.options).values() if is_typeddict(kind)]
)
def test_every_option_is_documented(options: type) -> None:
    """The docstring of a set of options has an entry for each of its keys."""
    for key in options.__annotations__:
        assert f"\n        {key}: " in (options.__doc__ or "")
