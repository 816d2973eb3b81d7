from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import akin
import grpc
import pytest
from akin.v1 import recommender_service_pb2 as pb
from akin.v1 import recommender_service_pb2_grpc as pb_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.command import run
from support.observing import scraped
from support.provider import ScriptedProvider, failure
from support.security import Certificates
from support.server import RunningServer, free_address
from support.waiting import until
from support.workers import connect_to_workers

from service.api.certificates import read_expiry

DASHBOARD = Path(__file__).parents[2] / "deploy/grafana/akin.json"
ALERTS = Path(__file__).parents[2] / "deploy/prometheus/alerts.yaml"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
METRIC = re.compile(r"\b(?:akin|process)_\w+")


class Collector:
    """Takes in traces over HTTP, as a collector of OpenTelemetry does; a context manager."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.news = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                request = ExportTraceServiceRequest.FromString(body)
                with collector.news:
                    collector.spans += [
                        span
                        for resource in request.resource_spans
                        for scope in resource.scope_spans
                        for span in scope.spans
                    ]
                    collector.news.notify_all()
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Stays quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What a server shows to Prometheus after a few calls, and once an item has to wait."""
    address = free_address()
    folder = tmp_path_factory.mktemp("metrics")
    with (
        ScriptedProvider() as provider,
        RunningServer(
            folder,
            METRICS_LISTEN=address,
            OPENROUTER_API_KEY="sk-or-test",
            EMBEDDING_BASE_URL=provider.url,
        ) as server,
        server.client() as client,
    ):
        client.upsert_item("a", "green tea")
        client.upsert_item("a", "green tea")
        response = client.recommend_similar(text="black tea")
        client.record_interactions(
            [akin.interaction("ann", "a", "CLICK", recommendation_id=response.recommendation_id)]
        )
        with pytest.raises(Exception, match="NOT_FOUND"):
            client.get_item("b")
        before = scraped(address)
        provider.otherwise = failure(402)
        list(client.import_items([akin.item("c", "a text that has to wait")]))
        text = ""
        while 'akin_items{catalog="default"} 2.0' not in text or "akin_pending_items{" not in text:
            text = scraped(address)
        yield before + text


def test_calls_are_counted_by_method_and_outcome(metrics: str) -> None:
    """Rate, errors and durations of each method can be scraped."""
    assert 'akin_calls_total{code="OK",method="UpsertItem"} 2.0' in metrics
    assert 'akin_calls_total{code="NOT_FOUND",method="GetItem"} 1.0' in metrics
    assert 'akin_call_seconds_count{method="RecommendSimilar"} 1.0' in metrics
    assert 'akin_call_seconds_bucket{le="10.0",method="RecommendSimilar"} 1.0' in metrics


def test_what_embedding_does_can_be_scraped(metrics: str) -> None:
    """Requests to the embedder, and texts that needed none, are counted."""
    assert 'akin_embedding_request_seconds_count{outcome="ok"} 2.0' in metrics
    assert 'akin_embedding_texts_total{source="embedder"} 2.0' in metrics
    assert 'akin_embedding_texts_total{source="cache"} 1.0' in metrics


@pytest.mark.parametrize("file", [DASHBOARD, ALERTS], ids=["dashboard", "alerts"])
def test_dashboard_and_alerts_use_metrics_that_exist(metrics: str, file: Path) -> None:
    """Every metric that the dashboard and the alerts name can be scraped."""
    # A metric with labels that nothing sets is described all the same, so samples count. One of
    # them needs several workers.
    exist = {"akin_worker_up", *re.findall(r"^(\w+)[ {]", metrics, re.MULTILINE)}
    used = set(METRIC.findall(file.read_text()))
    assert used
    assert set() == used - exist


def test_the_machine_and_the_settings_can_be_scraped(metrics: str) -> None:
    """The version, the process, the disk and the budget are shown; what is not there is NaN."""
    assert re.search(r'akin_build_info\{python="3\..+",version="[0-9]+\..+"\} 1\.0', metrics)
    assert re.search(r"^process_resident_memory_bytes [1-9]", metrics, re.MULTILINE)
    assert re.search(r"^akin_disk_free_bytes [1-9]", metrics, re.MULTILINE)
    assert "akin_embedding_budget_usd_per_day +Inf" in metrics
    assert "akin_last_backup_timestamp_seconds NaN" in metrics
    assert "akin_certificate_expiry_timestamp_seconds NaN" in metrics


def test_a_backup_and_the_end_of_the_certificate_can_be_scraped(tmp_path: Path) -> None:
    """The metrics have the time of the last backup, and when the certificate ends."""
    address, started = free_address(), time.time()
    chain, key = Certificates(tmp_path / "tls").issue("server")
    with RunningServer(
        tmp_path, METRICS_LISTEN=address, TLS_CERTIFICATE=str(chain), TLS_KEY=str(key)
    ):
        assert 0 == run("backup", tmp_path / "copy", folder=tmp_path).status
        values = dict(re.findall(r"^(akin_\w+) (\S+)$", scraped(address), re.MULTILINE))
    assert float(values["akin_last_backup_timestamp_seconds"]) >= started - 1
    assert float(values["akin_certificate_expiry_timestamp_seconds"]) == read_expiry(chain)


def test_all_workers_are_on_one_port(tmp_path: Path) -> None:
    """A scrape has the calls of each worker; one that is started again has none of its former."""
    address = free_address()
    with (
        RunningServer(tmp_path, METRICS_LISTEN=address, WORKERS="2") as server,
        ExitStack() as stack,
    ):
        connect_to_workers(server, stack, 2)
        text = scraped(address)
        counts = re.findall(r'akin_calls_total\{.*method="ListItems",worker="(\d)"\}', text)
        assert ["0", "1"] == sorted(counts)
        (process_id,) = {
            line["process_id"] for line in server.events("serving") if line["worker"] == 1
        }
        os.kill(process_id, signal.SIGKILL)
        server.wait_for("worker_ended")
        until(lambda: 'akin_worker_up{worker="1"} 0.0' in scraped(address))
        server.wait_for("serving", 3)
        text = scraped(address)
        assert 'akin_worker_up{worker="1"} 1.0' in text
        assert not re.search(r'akin_calls_total\{.*method="ListItems",worker="1"\}', text)


def test_a_trace_shows_the_call_its_request_and_its_search(tmp_path: Path) -> None:
    """A call's spans are in its caller's trace, which the request to the provider names."""
    with (
        Collector() as collector,
        ScriptedProvider() as provider,
        RunningServer(
            tmp_path,
            TRACES_ENDPOINT=collector.url,
            EMBEDDER="openai",
            EMBEDDING_BASE_URL=provider.url,
            EMBEDDING_MODEL="scripted",
        ) as server,
        grpc.insecure_channel(server.address) as channel,
    ):
        stub = pb_grpc.RecommenderServiceStub(channel)
        _, call = stub.RecommendSimilar.with_call(
            pb.RecommendSimilarRequest(text="tea"), metadata=(("traceparent", PARENT),)
        )
        timing = dict(call.trailing_metadata() or ())["server-timing"]
        asked = provider.headers[-1]["traceparent"]
        assert 0 == server.stop()
        named = {span.name: span for span in collector.spans if span.trace_id.hex() == TRACE_ID}
    root = named["akin.v1.RecommenderService/RecommendSimilar"]
    assert PARENT.split("-")[2] == root.parent_span_id.hex()
    assert {"embed", "request", "search", root.name} == named.keys()
    assert named["embed"].parent_span_id == named["search"].parent_span_id == root.span_id
    assert named["request"].parent_span_id == named["embed"].span_id
    assert f"00-{TRACE_ID}-{named['request'].span_id.hex()}-01" == asked
    stages = [each.split(";")[0] for each in str(timing).split(", ")]
    assert ["queue", "request", "embed", "search", "total"] == stages
    assert "tea" not in json.dumps([str(span) for span in named.values()])
