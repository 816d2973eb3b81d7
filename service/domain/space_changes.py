"""What to do when the settings choose another model than the one that a catalog has."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from service.domain.spaces import INPUT_TYPE_SEPARATOR, Model, Space


def explain_other_space(catalog: str, stored: Space, configured: Model) -> str:
    """Return why a catalog cannot be opened, with the settings that open it and the next command.

    Args:
        catalog: the name of the catalog.
        stored: the space of its vectors.
        configured: the model of the settings, whose space differs.
    """
    space = configured.space
    # The width of a model that has never responded is not known for certain.
    is_same_model = (stored.provider, stored.model) == (space.provider, space.model)
    start = (
        f"catalog {catalog!r} was embedded with {_describe(stored, with_dimensions=True)}, but the "
        f"settings choose {_describe(space, with_dimensions=is_same_model)}"
    )
    variables = " ".join(_list_variables(stored, space))
    if not variables:
        return f"{start}: start the version of the server that stored the catalog"
    command = " ".join(["akin reembed", *_list_options(configured)])
    return (
        f"{start}: start the server with {variables} and run `{command}`; "
        "the catalog then keeps its model, whatever the settings"
    )


def _describe(space: Space, *, with_dimensions: bool) -> str:
    templates = [
        f"{name} {template!r}"
        for name, template in (
            ("template", space.template),
            ("query template", space.query_template),
        )
        if template != "{text}"
    ]
    width = f", {space.dimensions} dimensions" if with_dimensions else ""
    return ", ".join([f"{space.model} ({space.provider}{width})", *templates])


def _list_variables(stored: Space, configured: Space) -> Iterator[str]:
    """Yield the settings that choose the stored space, as assignments; none if no setting does.

    The local model has no settings of its own.
    """
    if stored.provider != configured.provider:
        yield f"AKIN_EMBEDDER={stored.provider}"
    if not stored.is_local:
        model, _, input_type = stored.model.partition(INPUT_TYPE_SEPARATOR)
        configured_model, _, configured_type = configured.model.partition(INPUT_TYPE_SEPARATOR)
        if model != configured_model:
            yield f"AKIN_EMBEDDING_MODEL={shlex.quote(model)}"
        if input_type != configured_type:
            yield f"AKIN_EMBEDDING_INPUT_TYPE={shlex.quote(input_type)}"
        if stored.dimensions != configured.dimensions:
            yield f"AKIN_EMBEDDING_DIMENSIONS={stored.dimensions}"
        if stored.template != configured.template:
            yield f"AKIN_EMBEDDING_TEMPLATE={shlex.quote(stored.template)}"
        if stored.query_template != configured.query_template:
            yield f"AKIN_EMBEDDING_QUERY_TEMPLATE={shlex.quote(stored.query_template)}"


def _list_options(configured: Model) -> Iterator[str]:
    """Yield the options of `akin reembed` that choose the model of the settings."""
    space = configured.space
    yield f"--provider {space.provider}"
    if not space.is_local:
        yield f"--model {shlex.quote(space.model.partition(INPUT_TYPE_SEPARATOR)[0])}"
    if configured.requested_dimensions is not None:
        yield f"--dimensions {configured.requested_dimensions}"
    if space.template != "{text}":
        yield f"--template {shlex.quote(space.template)}"
    if space.query_template != "{text}":
        yield f"--query-template {shlex.quote(space.query_template)}"
