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
from service.telemetry.call_log import call_log
from service.telemetry.log_writer import LogWriter

# One encoder for all lines: json.dumps with arguments makes one a line, at five times the cost.
_ENCODER = json.JSONEncoder(default=repr)


@contextmanager
def write_log(level: str, worker: int | None = None) -> Iterator[None]:
    """Write log lines of at least `level` to standard output; the last ones at the end.

    With several workers, each line has the number of its `worker`.
    """
    writer = LogWriter(sys.stdout.fileno(), _report_dropped)
    least_level = logging.getLevelNamesMapping()[level.upper()]
    is_terminal = sys.stdout.isatty()
    output = _Output(writer)
    structlog.configure(
        processors=_make_processors(worker, is_terminal=is_terminal),
        wrapper_class=structlog.make_filtering_bound_logger(least_level),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )
    if least_level <= logging.INFO and not is_terminal:
        call_log.write_json(writer, worker)
    try:
        yield
    finally:
        writer.flush()


def _make_processors(worker: int | None, *, is_terminal: bool) -> list[structlog.typing.Processor]:
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if worker is not None:
        processors.append(partial(_add_worker, worker))
    if is_terminal:
        # Plain tracebacks, because rich ones show local variables, and with them callers' texts.
        formatter = structlog.dev.plain_traceback
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=formatter)
        return [*processors, _replace_controls, renderer]
    json_renderer = structlog.processors.JSONRenderer(serializer=_encode)
    return [*processors, structlog.processors.format_exc_info, json_renderer]


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
        self._writer = writer

    def msg(self, message: str) -> None:
        """Write one line."""
        self._writer.write(f"{message}\n".encode(), is_urgent=True)

    debug = info = warning = error = exception = critical = msg


def _report_dropped(lines: int) -> None:
    structlog.get_logger().warning("log_lines_dropped", lines=lines)


def _encode(event: object, **_options: object) -> str:
    return _ENCODER.encode(event)
