"""The least a Python gRPC server can do: answer every call with ten constant hits.

It runs as Akin does (grpc.aio on uvloop, one process), so that the difference between the two is
what Akin adds. Prints its address and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc

HITS = [pb.Recommendation(item_id=f"tmdb:{1000 + n}", score=0.9 - n / 100) for n in range(10)]


class Constant(pb_grpc.RecommenderServiceServicer):
    """Answers with the same ten hits."""

    async def RecommendSimilar(  # noqa: N802  (named after its RPC)
        self, request: pb.RecommendSimilarRequest, context: object
    ) -> pb.RecommendSimilarResponse:
        """Answers one call."""
        del request, context
        return pb.RecommendSimilarResponse(recommendations=HITS, sequence=3000)


async def main() -> None:
    """Serves on a free port."""
    server = grpc.aio.server()
    pb_grpc.add_RecommenderServiceServicer_to_server(Constant(), server)  # type: ignore[abstract]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


uvloop.run(main())
