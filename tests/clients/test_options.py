import inspect
from collections.abc import Awaitable, Callable
from typing import Any, is_typeddict

import akin
import pytest
from support.recording import RecordingServer

Ask = Callable[..., Awaitable[Any]]


def methods_with_options() -> list[str]:
    """The methods of the clients that take keyword options."""
    return [
        name
        for name, method in inspect.getmembers(akin.Client, inspect.isfunction)
        if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(method).parameters.values())
    ]


def test_methods_have_options() -> None:
    """Keyword options are found by inspection, so that each method that has them is tested."""
    assert {"upsert_item", "recommend_similar", "create_catalog"} <= {*methods_with_options()}


@pytest.mark.parametrize("call", methods_with_options())
async def test_an_unknown_keyword_is_a_type_error(ask: Ask, call: str) -> None:
    """A keyword that a method does not have raises TypeError, which names it, before any call."""
    parameters = inspect.signature(getattr(akin.Client, call)).parameters.values()
    given = ["x" for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is p.empty]
    with RecordingServer() as server:
        with pytest.raises(TypeError, match="limmit"):
            await ask(server.address, call, *given[1:], limmit=7)
    assert [] == server.requests


@pytest.mark.parametrize(
    "options", [kind for kind in vars(akin.options).values() if is_typeddict(kind)]
)
def test_every_option_is_documented(options: type) -> None:
    """The docstring of a set of options has an entry for each of its keys."""
    for key in options.__annotations__:
        assert f"\n        {key}: " in (options.__doc__ or "")
