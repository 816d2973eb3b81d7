"""How the commands that use a store without a server end on an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from service import errors
from service.cli import console
from service.settings_loading import SettingsError


@contextmanager
def exit_on_store_error(
    command: str, *, usage_error: type[Exception] = SettingsError, in_use_advice: str = ""
) -> Iterator[None]:
    """End the command with a line on standard error if the work inside fails.

    Args:
        command: the command, as it is typed.
        usage_error: an error of the caller's input, for which the exit status is 2; it is 1
            otherwise.
        in_use_advice: what follows the error that a server uses the data folder.
    """
    try:
        yield
    except usage_error as exc:
        console.exit_with_error(str(exc), command=command, status=2)
    except errors.AkinError as exc:
        advice = in_use_advice if isinstance(exc, errors.FolderInUse) else ""
        console.exit_with_error(f"{exc}{advice}", command=command)
