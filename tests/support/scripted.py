"""A real gRPC server that answers as a test scripts it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn, Self

import akin
import grpc
from akin.v1 import analysis_service_pb2
from akin.v1 import recommender_service_pb2 as pb
from google.protobuf import any_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import status_pb2

from support.rejections import SERVICE
from support.server import WAIT_SECONDS

ANALYSIS = analysis_service_pb2.DESCRIPTOR.services_by_name["AnalysisService"]


@dataclass(frozen=True)
class Failure:
    """A status to answer with, and the details that go along."""

    code: grpc.StatusCode
    message: str = "scripted"
    details: tuple[Message, ...] = ()


class ScriptedServer:
    """Answers GetItem and ImportItems with each of `script` in turn; a context manager.

    Past the end of the script GetItem succeeds. `requests` are those of GetItem; `imports` counts
    the calls of ImportItems, of which each acknowledges one message and then fails. While `held`,
    GetItem does not answer. RecommendSimilar and ListItems find nothing. A method of the
    AnalysisService gives the `answers` of its name, or an empty one. `questions` are those of all
    these.
    """

    def __init__(
        self, *script: Failure, answers: Mapping[str, Sequence[Message]] = MappingProxyType({})
    ) -> None:
        self.requests: list[pb.GetItemRequest] = []
        self.questions: list[Message] = []
        self.imports = 0
        self.held = False
        self._release = threading.Event()
        self._script = list(script)
        self._server = grpc.server(ThreadPoolExecutor(4))
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "GetItem": grpc.unary_unary_rpc_method_handler(
                self._get_item,
                request_deserializer=pb.GetItemRequest.FromString,
                response_serializer=pb.GetItemResponse.SerializeToString,
            ),
            "ImportItems": grpc.stream_stream_rpc_method_handler(
                self._import_items,
                request_deserializer=pb.ImportItemsRequest.FromString,
                response_serializer=pb.ImportItemsResponse.SerializeToString,
            ),
            "RecommendSimilar": grpc.unary_unary_rpc_method_handler(
                self._recommend_similar,
                request_deserializer=pb.RecommendSimilarRequest.FromString,
                response_serializer=pb.RecommendSimilarResponse.SerializeToString,
            ),
            "ListItems": grpc.unary_unary_rpc_method_handler(
                self._list_items,
                request_deserializer=pb.ListItemsRequest.FromString,
                response_serializer=pb.ListItemsResponse.SerializeToString,
            ),
        }
        self._server.add_registered_method_handlers(SERVICE, handlers)
        self._answers = answers
        self._server.add_registered_method_handlers(
            ANALYSIS.full_name, {each.name: self._analysis(each) for each in ANALYSIS.methods}
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release.set()
        self._server.stop(None).wait(WAIT_SECONDS)

    def _get_item(
        self, request: pb.GetItemRequest, context: grpc.ServicerContext
    ) -> pb.GetItemResponse:
        self.requests.append(request)
        if self.held:
            self._release.wait(WAIT_SECONDS)
        if self._script:
            abort(context, self._script.pop(0))
        return pb.GetItemResponse(item=akin.Item(item_id=request.item_id))

    def _recommend_similar(
        self, request: pb.RecommendSimilarRequest, context: grpc.ServicerContext
    ) -> pb.RecommendSimilarResponse:
        self.questions.append(request)
        return pb.RecommendSimilarResponse()

    def _list_items(
        self, request: pb.ListItemsRequest, context: grpc.ServicerContext
    ) -> pb.ListItemsResponse:
        self.questions.append(request)
        return pb.ListItemsResponse()

    def _analysis(self, method: MethodDescriptor) -> grpc.RpcMethodHandler[Any, Any]:
        kinds = vars(analysis_service_pb2)
        request, response = kinds[method.input_type.name], kinds[method.output_type.name]
        answers: Sequence[Message] = self._answers.get(method.name, [response()])

        def one(question: Message, context: grpc.ServicerContext) -> Message:
            self.questions.append(question)
            return answers[0]

        def many(question: Message, context: grpc.ServicerContext) -> Iterator[Message]:
            self.questions.append(question)
            yield from answers

        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(
                many, request.FromString, response.SerializeToString
            )
        return grpc.unary_unary_rpc_method_handler(
            one, request.FromString, response.SerializeToString
        )

    def _import_items(
        self, requests: Iterator[pb.ImportItemsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ImportItemsResponse]:
        self.imports += 1
        results = [akin.ItemResult(item_id=item.item_id) for item in next(requests).items]
        yield pb.ImportItemsResponse(results=results)
        abort(context, self._script.pop(0))


def abort(context: grpc.ServicerContext, failure: Failure) -> NoReturn:
    """Ends a call with a status and its details."""
    status = status_pb2.Status(code=failure.code.value[0], message=failure.message)
    for detail in failure.details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    if failure.details:
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(failure.code, failure.message)
