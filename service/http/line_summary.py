"""What came of the lines of an import: results for each line, and a summary of all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from akin.v1 import embedding_usage_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from service import errors
from service.api.status import DOMAIN, status
from service.http.json_messages import encode_json


class LineSummary:
    """Counts the lines of an import, and makes the lines of its response.

    Args:
        validate_only: whether the import stores nothing.
    """

    def __init__(self, *, validate_only: bool) -> None:
        self._validate_only = validate_only
        self._groups: deque[list[int]] = deque()
        self._stored = 0
        self._valid = 0
        self._duplicates = 0
        self._refused = 0
        self._sequence = 0
        self._usage = embedding_usage_pb2.EmbeddingUsage()

    @property
    def has_results(self) -> bool:
        """Whether a line was stored, refused or found valid."""
        return bool(self._stored or self._valid or self._refused or self._duplicates)

    def add_group(self, numbers: list[int]) -> None:
        """Note the numbers of the lines of the next request."""
        self._groups.append(numbers)

    def refuse(self, number: int, error: errors.AkinError) -> bytes:
        """Count a line that is no request; return the line of the response."""
        return self._refuse(number, status(error))

    def add_response(self, response: Any) -> bytes:  # noqa: ANN401 (of three types)
        """Count the lines of the next response; return the lines for those that were refused."""
        numbers = self._groups.popleft()
        failures = dict(_list_failures(response))
        self._sequence = max(self._sequence, _find_sequence(response))
        duplicates = getattr(response, "duplicate_count", 0)
        accepted = len(numbers) - len(failures) - duplicates
        self._duplicates += duplicates
        if self._validate_only:
            self._valid += accepted
        else:
            self._stored += accepted
        if "usage" in response.DESCRIPTOR.fields_by_name:
            _add_usage(self._usage, response.usage)
        return b"".join(
            self._refuse(numbers[position], failure) for position, failure in failures.items()
        )

    def encode(self, failure: status_pb2.Status | None) -> bytes:
        """Return the last line of the response.

        Args:
            failure: why the import ended early; None if it did not.
        """
        summary: dict[str, object] = {"stored": self._stored, "refused": self._refused}
        if self._validate_only:
            summary["valid"] = self._valid
        if self._duplicates:
            summary["duplicates"] = self._duplicates
        summary["sequence"] = str(self._sequence)
        usage = json_format.MessageToDict(self._usage)
        if usage:
            summary["usage"] = usage
        if failure is not None:
            summary["error"] = json_format.MessageToDict(failure)
        return encode_json(summary) + b"\n"

    def _refuse(self, number: int, reason: status_pb2.Status) -> bytes:
        self._refused += 1
        return encode_json({"line": number, "error": json_format.MessageToDict(reason)}) + b"\n"


def _list_failures(response: Any) -> Iterator[tuple[int, status_pb2.Status]]:  # noqa: ANN401
    """Yield the positions of the refused resources of a request, and why each was refused."""
    if hasattr(response, "failures"):
        for failure in response.failures:
            yield failure.position, _make_status(failure)
    else:
        for position, result in enumerate(response.results):
            if result.code != code_pb2.OK:
                yield position, _make_status(result)


def _make_status(failure: Any) -> status_pb2.Status:  # noqa: ANN401
    refusal = status_pb2.Status(code=failure.code, message=failure.message)
    info = error_details_pb2.ErrorInfo(reason=failure.reason, domain=DOMAIN)
    refusal.details.add().Pack(info)
    return refusal


def _find_sequence(response: Any) -> int:  # noqa: ANN401
    if hasattr(response, "sequence"):
        return int(response.sequence)
    sequences: Sequence[int] = [result.sequence for result in response.results]
    return max(sequences, default=0)


def _add_usage(total: Message, usage: Message) -> None:
    """Add the numbers of a usage to a total."""
    for field, value in usage.ListFields():
        setattr(total, field.name, getattr(total, field.name) + value)
