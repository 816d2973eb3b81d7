"""What callers get at ten times the load that a server can sustain.

    python bench/overload.py [--seconds S] [--factor F] [--json FILE]

For each kind of call, the load generator (load/, in Go) measures in turn: the sustainable rate (16
callers that call one after the other), the latency under light load (a tenth of that rate), and
then 1.3 times (after WARM_UP_SECONDS) and F times the sustainable rate, in an open loop. It keeps
at most OUTSTANDING calls waiting for replies, as a client with bounded concurrency does; calls that
are due beyond that are not sent, and counted. Latencies count from the moment a call was due. At
the end, 60 messages of 14 MiB come at once, and the server's peak memory is measured.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import akin
import grpc
import texts
from akin.v1 import recommender_service_pb2 as pb
from servers import Server, akin_server, resident_bytes
from throughput import Generator

ITEMS = 3_000
CALLERS = 16
CONNECTIONS = 8
OUTSTANDING = 1_000
TIMEOUT_SECONDS = 2
WRITES = 20_000
SLIGHT_FACTOR = 1.3
WARM_UP_SECONDS = 5
MESSAGES = 60
MESSAGE_BYTES = 14 * 1024 * 1024
MEBIBYTE = 1024 * 1024

Result = dict[str, Any]


def make_requests(items: Sequence[Result]) -> dict[str, tuple[str, list[bytes]]]:
    """The method and the messages of each kind of call."""
    by_item = [pb.RecommendSimilarRequest(item_id=item["id"]) for item in items]
    by_text = [pb.RecommendSimilarRequest(text=item["text"][:80]) for item in items]
    writes = [
        pb.UpsertItemRequest(
            item=akin.item(f"new{number}", f"{items[number % ITEMS]['text'][:80]} {number}")
        )
        for number in range(WRITES)
    ]
    return {
        "RecommendSimilar by item": ("RecommendSimilar", serialize(by_item)),
        "RecommendSimilar by text": ("RecommendSimilar", serialize(by_text)),
        "UpsertItem": ("UpsertItem", serialize(writes)),
    }


def serialize(messages: Sequence[Any]) -> list[bytes]:
    """The bytes of messages."""
    return [message.SerializeToString() for message in messages]


@contextmanager
def served(items: Sequence[Result]) -> Iterator[Server]:
    """A server that has the items."""
    with akin_server(AKIN_EMBEDDER="local") as server:
        with akin.Client(server.address) as client:
            messages = (akin.item(item["id"], item["text"], item["attributes"]) for item in items)
            assert not sum(answer.code != 0 for answer in client.import_items(messages))
        yield server


def measure(server: Server, generator: Generator, seconds: float, factor: float) -> Result:
    """The sustainable rate, light load, and overload, of one kind of call."""
    run: Callable[..., Result] = generator.measure
    options = (f"-connections={CONNECTIONS}", f"-timeout={TIMEOUT_SECONDS}s")
    closed = run(server.address, seconds / 2, f"-concurrency={CALLERS}", *options)
    rate = closed["calls_per_second"]
    light = run(server.address, seconds / 2, f"-rate={rate / 10}", *options)
    outstanding = f"-outstanding={OUTSTANDING}"
    slight = run(
        server.address,
        seconds,
        f"-rate={rate * SLIGHT_FACTOR}",
        f"-warm-up={WARM_UP_SECONDS}s",
        outstanding,
        *options,
    )
    over = run(server.address, seconds, f"-rate={rate * factor}", outstanding, *options)
    return {
        "sustainable_calls_per_second": rate,
        "light_p50_ms": light["p50_ms"],
        "light_p99_ms": light["p99_ms"],
        "slight_served_calls_per_second": slight["calls_per_second"],
        "slight_p99_ms": slight["p99_ms"],
        "slight_p99_ratio_to_light": round(slight["p99_ms"] / light["p99_ms"], 2),
        "slight_codes": slight.get("codes", {}),
        "offered_calls_per_second": round(rate * factor),
        "served_calls_per_second": over["calls_per_second"],
        "served_share_of_sustainable": round(over["calls_per_second"] / rate, 3),
        "p50_ms": over["p50_ms"],
        "p99_ms": over["p99_ms"],
        "p99_ratio_to_light": round(over["p99_ms"] / light["p99_ms"], 2),
        "codes": over.get("codes", {}),
        "refused_p50_ms": over.get("failed_p50_ms", 0),
        "not_sent": over.get("not_sent", 0),
        "resident_mib": resident_bytes(server.process_id) // MEBIBYTE,
    }


def send_large_messages(server: Server) -> Result:
    """The peak memory while many large messages come at once, and their codes."""
    message = pb.ListItemsRequest(page_token="x" * MESSAGE_BYTES).SerializeToString()
    before = resident_bytes(server.process_id)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.insecure_channel(server.address, options) for _ in range(CONNECTIONS)]
    methods: list[Any] = [
        channel.unary_unary("/akin.v1.RecommenderService/ListItems") for channel in channels
    ]
    calls: list[Any] = [
        methods[number % CONNECTIONS].future(message, timeout=60) for number in range(MESSAGES)
    ]
    codes: Counter[str] = Counter()
    for call in calls:
        call.exception()
        codes[call.code().name] += 1
    for channel in channels:
        channel.close()
    return {
        "messages": MESSAGES,
        "sent_mib": MESSAGES * MESSAGE_BYTES // MEBIBYTE,
        "before_mib": before // MEBIBYTE,
        "peak_mib": peak_bytes(server.process_id) // MEBIBYTE,
        "codes": dict(codes),
    }


def peak_bytes(process_id: int) -> int:
    """The largest resident memory that a process has had."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert match is not None
    return int(match[1]) * 1024


def main() -> None:
    """Measures all kinds of calls, and prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--factor", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    items = texts.items(ITEMS)
    result: Result = {}
    for name, (method, requests) in make_requests(items).items():
        # A server for each kind, or the overload of one could last into the next.
        with served(items) as server, tempfile.TemporaryDirectory() as folder:
            generator = Generator.built(
                Path(folder) / "requests",
                requests,
                f"-method=/akin.v1.RecommenderService/{method}",
            )
            result[name] = measure(server, generator, given.seconds, given.factor)
        print(name, json.dumps(result[name], indent=2), flush=True)
    with served(items) as server:
        result["large messages"] = send_large_messages(server)
    print("large messages", json.dumps(result["large messages"], indent=2))
    if given.json:
        given.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
