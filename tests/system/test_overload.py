"""A real server with more calls than it can serve."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from akin.v1 import recommender_service_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.security import ALONE, entry, write_keys
from support.server import WAIT_SECONDS, RunningServer, free_address
from support.sockets import send_pathless_calls
from support.waiting import until

from service.api.admission import KEY_SHARE, CallKind
from service.api.load_shedding import MAX_QUEUED_CALLS
from service.domain import limits

RECOMMEND = "/akin.v1.RecommenderService/RecommendSimilar"
IMPORT = "/akin.v1.RecommenderService/ImportItems"
REQUEST = recommender_service_pb2.RecommendSimilarRequest(text="jazz").SerializeToString()
LIST = "/akin.v1.RecommenderService/ListItems"
MESSAGES = 60
CONNECTIONS = 20
CALLS = 10 * MAX_QUEUED_CALLS
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
_OVERLOADED = ("RESOURCE_EXHAUSTED", "OVERLOADED")


class Connections:
    """Connections of their own to one server, in a context manager."""

    def __init__(self, address: str, count: int) -> None:
        self.channels = [grpc.insecure_channel(address, [*ALONE]) for _ in range(count)]

    def __enter__(self) -> list[grpc.Channel]:
        for channel in self.channels:
            grpc.channel_ready_future(channel).result(WAIT_SECONDS)
        return self.channels

    def __exit__(self, *_: object) -> None:
        for channel in self.channels:
            channel.close()


@pytest.fixture
def metrics_address() -> str:
    return free_address()


@pytest.fixture
def server(tmp_path: Path, metrics_address: str) -> Iterator[RunningServer]:
    with RunningServer(tmp_path, METRICS_LISTEN=metrics_address) as running:
        yield running


def send_burst(channels: list[grpc.Channel], calls: int) -> list[Any]:
    """Send calls on all connections at once."""
    methods: list[Any] = [channel.unary_unary(RECOMMEND) for channel in channels]
    return [
        methods[number % len(methods)].future(REQUEST, timeout=WAIT_SECONDS)
        for number in range(calls)
    ]


def send_burst_while_frozen(server: RunningServer, channels: list[grpc.Channel]) -> list[Any]:
    """Send calls that all wait once the server goes on, however fast it is."""
    server.freeze()
    calls = send_burst(channels, CALLS)
    server.thaw()
    return calls


def count_codes(calls: list[Any]) -> Counter[grpc.StatusCode]:
    """Wait for all calls, and count their codes."""
    for call in calls:
        call.exception(WAIT_SECONDS)
    return Counter(call.code() for call in calls)


def details_of(call: Any) -> tuple[str, float]:
    """Return the reason and the retry delay in seconds of a failed call."""
    (packed,) = [value for name, value in call.trailing_metadata() if name.endswith("details-bin")]
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status_pb2.Status.FromString(packed).details:
        detail.Unpack(info)
        detail.Unpack(retry)
    return info.reason, retry.retry_delay.ToTimedelta().total_seconds()


def test_a_burst_gets_answers_or_overloaded(server: RunningServer, metrics_address: str) -> None:
    """Every call of a large burst is served, or refused with OVERLOADED, RetryInfo and a log line.

    None is CANCELLED. The metrics count all refusals.
    """
    with Connections(server.address, CONNECTIONS) as channels:
        calls = send_burst_while_frozen(server, channels)
        codes = count_codes(calls)
        refused = [call for call in calls if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED]
        details = {details_of(call) for call in refused}
    assert codes.keys() == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert details == {("OVERLOADED", 1.0)}
    until(lambda: len(server.events("call")) >= CALLS)
    logged = Counter((line["code"], line["reason"]) for line in server.events("call"))
    assert logged == {("OK", None): codes[grpc.StatusCode.OK], _OVERLOADED: len(refused)}
    assert server.wait_for("overload_began")["queued_calls"] > 0
    with urlopen(f"http://{metrics_address}/metrics", timeout=WAIT_SECONDS) as response:
        metrics = response.read().decode()
    counts = re.findall(r'akin_refused_calls_total\{[^}]*reason="OVERLOADED"\} (\S+)', metrics)
    assert sum(map(float, counts)) == len(refused)


def test_malformed_calls_are_no_overload(server: RunningServer) -> None:
    """Calls without a path, more than may be queued, do not make the server refuse others."""
    with (
        send_pathless_calls(server.address, CALLS // 2),
        Connections(server.address, 4) as channels,
    ):
        for _ in range(20):
            assert count_codes(send_burst(channels, 40)).keys() == {grpc.StatusCode.OK}
    assert not server.events("overload_began")


def test_a_burst_on_one_connection_is_not_interrupted(server: RunningServer) -> None:
    """Calls beyond the streams of their connection wait in the client, and none is UNAVAILABLE."""
    with Connections(server.address, 1) as channels:
        codes = count_codes(send_burst(channels, CALLS))
    assert codes.keys() <= {grpc.StatusCode.OK, _EXHAUSTED}, codes


def test_health_is_answered_during_overload(server: RunningServer) -> None:
    """A health check gets SERVING while thousands of calls wait."""
    with Connections(server.address, CONNECTIONS) as channels:
        calls = send_burst_while_frozen(server, channels)
        with Connections(server.address, 1) as (channel,):
            health: Any = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        count_codes(calls)


def test_the_server_serves_again_after_overload(server: RunningServer) -> None:
    """Once a burst is over, calls that come one after the other are all served."""
    with Connections(server.address, CONNECTIONS) as channels:
        count_codes(send_burst_while_frozen(server, channels))
        call: Any = channels[0].unary_unary(RECOMMEND)
        server.wait_for("overload_ended")
        for _ in range(100):
            assert call(REQUEST, timeout=WAIT_SECONDS)


def test_no_call_is_cancelled_when_the_server_stops(server: RunningServer) -> None:
    """Calls that the server has not accepted yet get UNAVAILABLE, which clients retry elsewhere."""
    with Connections(server.address, CONNECTIONS) as channels:
        calls = send_burst(channels, MAX_QUEUED_CALLS)
        calls[0].exception(WAIT_SECONDS)
        server.terminate()
        codes = count_codes(calls)
    assert codes.keys() <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, _EXHAUSTED}, codes


def test_silent_calls_without_a_key_keep_nobody_out(tmp_path: Path) -> None:
    """Calls are authorized before their requests arrive: those without a key end at once."""
    keys = tmp_path / "keys.json"
    write_keys(keys, entry("app", "read"))
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    with (
        RunningServer(tmp_path, API_KEYS=str(keys)) as server,
        Connections(server.address, 1) as (channel,),
    ):
        method: Any = channel.stream_unary(RECOMMEND)
        silent = method.future(iter(requests.get, None), timeout=WAIT_SECONDS)
        assert silent.exception(WAIT_SECONDS).code() is grpc.StatusCode.UNAUTHENTICATED
        requests.put(None)


def test_one_key_cannot_use_up_all_streams(tmp_path: Path) -> None:
    """A key with its share of streams is refused a further one; another key gets it."""
    keys = tmp_path / "keys.json"
    write_keys(keys, entry("greedy", "write"), entry("modest", "write"))
    share = int(CallKind.STREAM.value * KEY_SHARE)
    requests: SimpleQueue[bytes | None] = SimpleQueue()
    with (
        RunningServer(tmp_path, API_KEYS=str(keys)) as server,
        Connections(server.address, 1) as (channel,),
    ):
        method: Any = channel.stream_stream(IMPORT)

        def open_stream(key: str) -> Any:
            requests_of_stream = itertools.chain([b""], iter(requests.get, None))
            metadata = (("authorization", f"Bearer {key}-key"),)
            return method(requests_of_stream, timeout=WAIT_SECONDS, metadata=metadata)

        streams = [open_stream("greedy") for _ in range(share)]
        for stream in streams:
            next(stream)  # the stream is open
        refused = open_stream("greedy")
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert next(open_stream("modest")) is not None
        for _ in range(share + 2):
            requests.put(None)


def test_large_requests_are_received_within_a_budget(server: RunningServer) -> None:
    """Many of the largest messages at once take less memory than all of them together."""
    text = "x" * (limits.MESSAGE_BYTES - 100)
    request = recommender_service_pb2.ListItemsRequest(page_token=text).SerializeToString()
    before = read_peak_bytes(server.process_id)
    with Connections(server.address, 4) as channels:
        methods: list[Any] = [channel.unary_unary(LIST) for channel in channels]
        calls = [
            methods[number % 4].future(request, timeout=WAIT_SECONDS) for number in range(MESSAGES)
        ]
        codes = count_codes(calls)
    assert codes.keys() <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert read_peak_bytes(server.process_id) - before < MESSAGES * limits.MESSAGE_BYTES


def read_peak_bytes(process_id: int) -> int:
    """Return the largest resident memory that a process has had."""
    match = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process_id}/status").read_text())
    assert match
    return int(match[1]) * 1024
