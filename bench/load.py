"""A load of unary calls from this process: what a benchmark drives a server with."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

METHOD = "/akin.v1.RecommenderService/RecommendSimilar"


@dataclass(frozen=True)
class Figures:
    """What a run measured; latencies in milliseconds, CPU time of the server process."""

    calls_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu_us_per_call: float


def cpu_seconds(process_id: int) -> float:
    """The CPU time that a process has taken so far."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(
    address: str, process_id: int, requests: Sequence[bytes], concurrency: int, seconds: float
) -> Figures:
    """Sends serialized requests, one after the other from each of `concurrency` callers.

    Raises:
        grpc.aio.AioRpcError: a call failed.
    """
    latencies: list[float] = []
    async with grpc.aio.insecure_channel(address) as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        await call(requests[0])
        end = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            position = number
            while (started := time.perf_counter()) < end:
                await call(requests[position % len(requests)])
                latencies.append(time.perf_counter() - started)
                position += concurrency

        before, started = cpu_seconds(process_id), time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(concurrency)))
        elapsed, spent = time.perf_counter() - started, cpu_seconds(process_id) - before
    latencies.sort()
    return Figures(
        calls_per_second=round(len(latencies) / elapsed, 1),
        p50_ms=round(latencies[len(latencies) // 2] * 1e3, 3),
        p99_ms=round(latencies[int(len(latencies) * 0.99)] * 1e3, 3),
        server_cpu_us_per_call=round(spent / len(latencies) * 1e6, 1),
    )
