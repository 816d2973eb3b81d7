"""Configures log lines: JSON, or colored text on a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import structlog

from service.domain.printable import replace_controls
from service.telemetry.log_writer import LogWriter

# One encoder for all lines: json.dumps with arguments makes one a line, at five times the cost.
_ENCODER = json.JSONEncoder(default=repr)


@contextmanager
def write_log(level: str, worker: int | None = None) -> Iterator[None]:
    """Write log lines of at least `level` to standard output; the last ones at the end.

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
    writer = LogWriter(sys.stdout.fileno(), _report_dropped)
    output = _Output(writer)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )
    try:
        yield
    finally:
        writer.flush()


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
    """Hands lines to a writer.

    Args:
        writer: writes them to standard output.
    """

    def __init__(self, writer: LogWriter) -> None:
        self._write = writer.write

    def msg(self, message: str) -> None:
        """Write one line."""
        self._write(f"{message}\n".encode())

    debug = info = warning = error = exception = critical = msg


def _report_dropped(lines: int) -> None:
    structlog.get_logger().warning("log_lines_dropped", lines=lines)


def _encode(event: object, **_options: object) -> str:
    return _ENCODER.encode(event)
