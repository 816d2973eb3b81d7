"""How log lines look: JSON on one line, or colours where a person watches."""

from __future__ import annotations

import json
import logging
import sys

import structlog

# Made once: json.dumps with arguments makes an encoder for each line, at five times the cost.
_ENCODER = json.JSONEncoder(default=repr)


def configure(level: str) -> None:
    """Sends log lines of at least `level` to standard output."""
    person = sys.stdout.isatty()
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if person:
        # Rich tracebacks would show local variables, and with them callers' texts.
        plain = structlog.dev.plain_traceback
        processors.append(structlog.dev.ConsoleRenderer(exception_formatter=plain))
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
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _encode(event: object, **_options: object) -> str:
    return _ENCODER.encode(event)
