from __future__ import annotations

import asyncio
import json
import threading
import traceback
from collections.abc import Iterator

import pytest
from akin.v1 import recommender_service_pb2 as pb

from service import errors
from service.http.conversions import (
    INLINE_VALUES,
    THREADS,
    Conversions,
    estimate_document_values,
    estimate_message_values,
)
from service.http.json_merging import UnexplainedFailure, merge_json

BARRIER_SECONDS = 30


@pytest.fixture
def conversions() -> Iterator[Conversions]:
    running = Conversions()
    yield running
    running.close()


def convert_invalid() -> None:
    merge_json({"itemIds": ["a", 1]}, pb.BatchGetItemsRequest())


class Witness(UnexplainedFailure):
    """A failure that notes which thread explains it."""

    thread: int | None = None

    def explain(self) -> errors.InvalidRequest:
        """The error."""
        self.thread = threading.get_ident()
        return super().explain()


async def test_only_conversions_of_few_values_run_at_once(conversions: Conversions) -> None:
    """Calls wait for conversions of few values, and others run in a thread."""
    here = threading.get_ident()
    assert here == await conversions.run(INLINE_VALUES, threading.get_ident)
    assert here != await conversions.run(INLINE_VALUES + 1, threading.get_ident)
    assert here != await conversions.run_in_thread(threading.get_ident)


@pytest.mark.parametrize("count", [1, INLINE_VALUES + 1])
async def test_failures_are_explained_in_a_thread(conversions: Conversions, count: int) -> None:
    """What is wrong with a document is found in a thread, however few values it has."""
    failure = Witness({"itemIds": [1]}, pb.BatchGetItemsRequest.DESCRIPTOR, "")

    def fail() -> None:
        raise failure

    with pytest.raises(errors.InvalidRequest, match=r"item_ids\[0\] must be a string"):
        await conversions.run(count, fail)
    assert failure.thread not in {None, threading.get_ident()}
    with pytest.raises(errors.InvalidRequest, match=r"item_ids\[1\] must be a string"):
        await conversions.run(count, convert_invalid)


@pytest.mark.parametrize("count", [1, INLINE_VALUES + 1])
async def test_a_defect_quotes_nobody(conversions: Conversions, count: int) -> None:
    """What a defect leaves for the log has its stack and no text of a caller."""

    def fail() -> None:
        raise ValueError("secret of a caller")

    with pytest.raises(RuntimeError, match="a conversion raised ValueError") as caught:
        await conversions.run(count, fail)
    lines = [f"{frame.name}: {frame.line}" for frame in traceback.extract_tb(caught.tb)]
    assert lines[-1].startswith("fail: raise ValueError")
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.endswith("\nRuntimeError: a conversion raised ValueError\n")
    assert "ValueError: secret" not in shown


async def test_a_long_conversion_does_not_delay_another(conversions: Conversions) -> None:
    """A conversion runs while another one does."""
    barrier = threading.Barrier(THREADS)
    first = conversions.run_in_thread(lambda: barrier.wait(BARRIER_SECONDS))
    second = conversions.run_in_thread(lambda: barrier.wait(BARRIER_SECONDS))
    assert {0, 1} == set(await asyncio.gather(first, second))


@pytest.mark.parametrize(
    "value",
    [
        {"itemIds": ["a"] * 600},
        {"attributes": {"a": [[]] * 600}},
        {"boosts": [{}] * 600},
        {"text": "x" * 17_000},
    ],
)
def test_the_values_of_a_document_count(value: object) -> None:
    """A document with many values is no short one, although it has few bytes."""
    document = json.dumps(value, separators=(",", ":")).encode()
    assert estimate_document_values(document) > INLINE_VALUES


def test_usual_requests_are_short() -> None:
    """A request with a filter and a text of a few pages is converted at once."""
    condition = {"attribute": "price", "range": {"lte": 100}}
    request = {"text": "x" * 10_000, "limit": 3, "filter": {"all": [condition] * 10}}
    assert estimate_document_values(json.dumps(request).encode(), b"minSequence=7") < INLINE_VALUES
    assert estimate_message_values(b"x" * 3_000) < INLINE_VALUES


@pytest.mark.parametrize("query", [b"a=1&" * 600, b"updateMask=" + b"a," * 600, b"a=%2C" * 600])
def test_the_values_of_a_query_count(query: bytes) -> None:
    """A query with many parameters or paths is no short one."""
    assert estimate_document_values(b"", query) > INLINE_VALUES
