"""Groups of commands whose options of the connection can stand before or after the command."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import typer

from service.cli.connection import replace_connection_options, set_connection_options
from service.cli.help_texts import join_lines

_CONTEXT = "_context"

# Parameters with the path of a file, which can have any bytes. Others have the type Path.
_PATH_PARAMETERS = {"file"}

Command = TypeVar("Command", bound=Callable[..., Any])


class CommandGroup(typer.Typer):
    """A group of commands.

    A command with the parameter `address` calls a server, so it accepts all options of the
    connection. They take precedence over those before the command, and over the environment.
    """

    def command(self, *args: Any, **options: Any) -> Callable[[Command], Command]:  # noqa: ANN401
        """Return a decorator that adds a command; see typer.Typer."""

        def add(command: Command) -> Command:
            parameters = inspect.signature(command, eval_str=True).parameters
            register = super(CommandGroup, self).command(
                *args, **{"help": join_lines(command.__doc__ or ""), **options}
            )
            checked = _check_texts_of(command)
            register(_accept_connection_options(checked) if "address" in parameters else checked)
            return command

        return add


def _check_texts_of(command: Command) -> Command:
    """Return the command with a check of its texts before it runs."""

    @functools.wraps(command)
    def run(**values: Any) -> object:  # noqa: ANN401  (the parameters of the command)
        _check_texts(values)
        return command(**values)

    return cast("Command", run)


def _check_texts(values: Mapping[str, Any]) -> None:
    """Check that texts of a command line are UTF-8; Python has surrogates for other bytes.

    Raises:
        BadParameter: a text is in another encoding.
    """
    for name, value in values.items():
        for text in value if isinstance(value, list | tuple) else (value,):
            if name not in _PATH_PARAMETERS and isinstance(text, str) and not _is_utf8(text):
                raise typer.BadParameter(f"{text} is not UTF-8")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _accept_connection_options(command: Command) -> Command:
    """Return the command with the options of `set_connection_options`."""
    own = inspect.signature(command, eval_str=True).parameters
    shared = {
        name: parameter
        for name, parameter in inspect.signature(
            set_connection_options, eval_str=True
        ).parameters.items()
        if not name.startswith("_")
    }

    @functools.wraps(command)
    def run(**values: Any) -> object:  # noqa: ANN401  (the parameters of the command)
        context: typer.Context = values.pop(_CONTEXT)
        given = {name: values.pop(name) for name in shared if _is_given(context, name)}
        chosen = replace_connection_options(given)
        _check_texts(chosen)
        values = {name: value for name, value in values.items() if name in own}
        return command(**{**values, "address": chosen["address"]})

    parameters = {**own, **{name: shared[name] for name in shared if name not in own}}
    parameters[_CONTEXT] = inspect.Parameter(
        _CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
    )
    keyword_only = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters.values()
    ]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword_only}
    return cast("Command", run)


def _is_given(context: typer.Context, name: str) -> bool:
    """Does an option stand after the command?"""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
