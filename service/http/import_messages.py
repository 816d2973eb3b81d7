"""The messages of an import, made from a body in NDJSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2

from service import errors
from service.api.method_calls import CallEnd
from service.domain import limits
from service.http.body_lines import BodyLine, BodyLines
from service.http.call_messages import IncomingCall, check_content_type
from service.http.conversions import Conversions
from service.http.json_documents import decode_json
from service.http.json_merging import UnexplainedFailure, merge_json
from service.http.json_messages import get_descriptor
from service.http.line_summary import LineSummary
from service.http.read_ahead import ReadAhead
from service.http.response_backlog import ResponseBacklog
from service.http.response_writer import NDJSON, ResponseWriter
from service.http.statuses import write_status
from service.http.transcoding import set_parameters

# The largest item or user in a message, which has a catalog and options as well.
RESOURCE_BYTES = limits.MESSAGE_BYTES - 64 * 1024

LINE = "line"


class _Group(NamedTuple):
    """Lines as a request, and those that are none."""

    request: bytes
    numbers: list[int]
    refusals: list[tuple[int, errors.AkinError]]


class ImportMessages:
    """The messages of an import: each line of the body is an item, a user or an interaction.

    Args:
        call: the call.
        conversions: runs conversions.
        writer: sends the response.
        headers: of the response.
    """

    def __init__(
        self,
        call: IncomingCall,
        conversions: Conversions,
        writer: ResponseWriter,
        headers: list[tuple[str, str]],
    ) -> None:
        self._call = call
        self._conversions = conversions
        self._writer = writer
        self._headers = headers
        self._http_status: int | None = None
        self._body = ReadAhead(call.body)
        self._lines = BodyLines(self._body.read_chunk, limits.MESSAGE_BYTES)
        self._backlog = ResponseBacklog(writer, headers)
        self._template: Any = None
        self._summary = LineSummary(validate_only=False)

    async def read(self) -> bytes | None:
        """Return the next request, None at the end of the body.

        Raises:
            InvalidRequest: the path, the query or the type of the body is invalid.
            NotReady: the server stops before the end of the body.
        """
        if self._template is None:
            self._template = self._make_template()
            self._summary = LineSummary(validate_only=self._template.validate_only)
        while lines := await self._lines.read_group():
            # Invalid lines are explained, which can take long for any number of values.
            group = await self._conversions.run_in_thread(partial(self._convert, lines))
            for number, error in group.refusals:
                await self._backlog.put(self._summary.refuse(number, error))
            if group.numbers:
                self._summary.add_group(group.numbers)
                return group.request
        return None

    async def write(self, message: bytes) -> None:
        """Report the lines of the next request that were refused."""
        response_class = GetMessageClass(self._call.route.method.output_type)
        await self._backlog.put(self._summary.add_response(response_class.FromString(message)))

    async def finish(self, end: CallEnd) -> None:
        """Send the end of the response."""
        self._lines.close()
        failure = None if end.status.code == code_pb2.OK else end.status
        if failure is not None and not self._summary.has_results:
            await write_status(self._writer, failure, self._headers, self._http_status)
            return
        await self._backlog.put(self._summary.encode(failure))
        await self._backlog.flush()

    def drain(self) -> None:
        """Read no more of a body that has not ended, so that the client learns what is stored."""
        self._body.drain()

    def close(self) -> None:
        """End what was begun, because the client has left."""
        self._body.close()
        self._lines.close()
        self._backlog.close()

    def _make_template(self) -> Message:
        call = self._call
        try:
            check_content_type(call.body, NDJSON)
        except errors.InvalidRequest:
            self._http_status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            raise
        request: Message = GetMessageClass(call.route.method.input_type)()
        set_parameters(request, call.route, call.values, call.query)
        return request

    def _convert(self, lines: Sequence[BodyLine]) -> _Group:
        request = type(self._template)()
        request.CopyFrom(self._template)
        resources = getattr(request, self._call.route.body)
        group = _Group(b"", [], [])
        for line in lines:
            try:
                _append(resources, line)
            except UnexplainedFailure as exc:
                group.refusals.append((line.number, exc.explain()))
            except errors.InvalidRequest as exc:
                group.refusals.append((line.number, exc))
            else:
                group.numbers.append(line.number)
        return group._replace(request=request.SerializeToString())


def _append(resources: Any, line: BodyLine) -> None:  # noqa: ANN401 (a repeated field)
    """Append the resource of a line, or raise InvalidRequest or UnexplainedFailure."""
    if line.text is None:
        raise errors.invalid_field(LINE, f"must be at most {limits.MESSAGE_BYTES} bytes")
    resource = resources.add()
    try:
        descriptor = get_descriptor(resource)
        # As the server names the resource in its own errors: `item` in `item.text`.
        path = descriptor.name.lower()
        merge_json(decode_json(line.text, descriptor, path, LINE), resource, path)
        if resource.ByteSize() > RESOURCE_BYTES:
            raise errors.invalid_field(LINE, f"must be at most {RESOURCE_BYTES} bytes as a message")
    except (errors.InvalidRequest, UnexplainedFailure):
        del resources[-1]
        raise
