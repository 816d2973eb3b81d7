"""The log lines of calls: one for each, so that they are written in the cheapest way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import NamedTuple

import structlog

from service.telemetry.log_writer import LogWriter

_LOG = structlog.get_logger()


class CallRecord(NamedTuple):
    """What the log says of a call that has ended.

    Attributes:
        method: the name of the method.
        request_id: the id of the call.
        key: the name of the caller's key, None without keys.
        code: the name of the status code.
        reason: that of the error, None for a success.
        ms: the duration in milliseconds.
        request_bytes: the size of all requests.
        response_bytes: the size of all responses.
    """

    method: str
    request_id: str
    key: str | None
    code: str
    reason: str | None
    ms: float
    request_bytes: int
    response_bytes: int


class CallLog:
    """Logs calls: as all events, until `write_json` makes it write JSON by itself.

    The steps of structlog for one line take a fifth of the time of a call (bench/hotpath.py).
    """

    def __init__(self) -> None:
        self._writer: LogWriter | None = None
        self._constant_fields: dict[str, object] = {}
        self._encode = json.JSONEncoder().encode

    def write_json(self, writer: LogWriter, worker: int | None) -> None:
        """Write lines of JSON from now on, with the number of this worker if there are several."""
        self._writer = writer
        self._constant_fields = {"event": "call", "level": "info"}
        if worker is not None:
            self._constant_fields["worker"] = worker

    def add(self, record: CallRecord) -> None:
        """Log a call."""
        fields = record._asdict()
        if self._writer is None:
            _LOG.info("call", **fields)
            return
        fields |= self._constant_fields
        fields["timestamp"] = f"{datetime.now(UTC).replace(tzinfo=None).isoformat()}Z"
        self._writer.write(f"{self._encode(fields)}\n".encode(), is_urgent=False)


call_log = CallLog()
"""The log of this process."""
