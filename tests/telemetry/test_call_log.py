import json
import os

import pytest

from service.telemetry.call_log import CallLog, CallRecord
from service.telemetry.log_writer import LogWriter


@pytest.mark.parametrize(
    "record",
    [
        CallRecord("GetItem", "0a", None, "OK", None, 0.25, 1, 2),
        CallRecord("GetItem", '"id\\', 'shop "é\n', "NOT_FOUND", "ITEM_NOT_FOUND", 1e-05, 0, 0),
    ],
)
@pytest.mark.parametrize("worker", [None, 3])
def test_a_line_is_the_record_as_json(record: CallRecord, worker: int | None) -> None:
    """The line of a call is an object with its record, whatever its texts, and what is constant."""
    read_end, write_end = os.pipe()
    writer = LogWriter(write_end, lambda _: None)
    log = CallLog()
    log.write_json(writer, worker)
    log.add(record)
    writer.flush()
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        (line,) = lines
    written = json.loads(line)
    assert written.pop("timestamp").endswith("Z")
    constant = {"event": "call", "level": "info"} | ({} if worker is None else {"worker": worker})
    assert record._asdict() | constant == written
