"""Configures log lines: JSON, or colored text on a terminal."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from functools import partial

import structlog

from service.domain.printable import replace_controls

# One encoder for all lines: json.dumps with arguments makes one a line, at five times the cost.
_ENCODER = json.JSONEncoder(default=repr)


def configure_logging(level: str, worker: int | None = None) -> None:
    """Write log lines of at least `level` to standard output.

    With several workers, each line has the number of its `worker`.
    """
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if worker is not None:
        processors.append(partial(_add_worker, worker))
    if sys.stdout.isatty():
        # Plain tracebacks, because rich ones show local variables, and with them callers' texts.
        processors.append(_replace_controls)
        formatter = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=formatter))
    else:
        processors += [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_encode),
        ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=lambda *_: _Output(),
        cache_logger_on_first_use=True,
    )


def _add_worker(
    worker: int, _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event["worker"] = worker
    return event


def _replace_controls(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Replace what a terminal would obey, such as in the message of a provider."""
    return {
        name: replace_controls(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


class _Output:
    """Writes lines to standard output, and drops lines that cannot be written.

    A full disk or a closed pipe behind the log must not fail calls.
    """

    def msg(self, message: str) -> None:
        """Write one line."""
        with suppress(OSError):
            os.write(sys.stdout.fileno(), f"{message}\n".encode())

    debug = info = warning = error = exception = critical = msg


def _encode(event: object, **_options: object) -> str:
    return _ENCODER.encode(event)
