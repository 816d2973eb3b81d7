from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import akin
import grpc
import pytest
from akin.v1 import interaction_service_pb2 as pb
from support.recording import RecordingServer
from support.scripted import Failure

NOT_FOUND = Failure(grpc.StatusCode.NOT_FOUND)
UNTIMED = akin.interaction("u", "a", "LIKE")
TIMED = akin.interaction("u", "a", "LIKE", datetime(2026, 1, 2, tzinfo=UTC))

Call = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize("method", ["record_interactions", "import_interactions"])
async def test_a_missing_time_is_the_present_one(call: Call, method: str) -> None:
    """An interaction without a time is sent with the present one, and the caller's is unchanged."""
    start = datetime.now(UTC)
    with RecordingServer() as server:
        await call(server.address, method, [UNTIMED, TIMED])
    (request,) = server.requests
    assert isinstance(request, pb.RecordInteractionsRequest | pb.ImportInteractionsRequest)
    untimed, timed = request.interactions
    assert start <= untimed.time.ToDatetime(UTC) <= datetime.now(UTC)
    assert timed == TIMED
    assert not UNTIMED.HasField("time")


async def test_failures_have_their_positions_in_the_import(call: Call) -> None:
    """The positions of failures count from the first interaction of all messages."""
    failures = [akin.InteractionFailure(position=0), akin.InteractionFailure(position=7)]
    response = akin.ImportInteractionsResponse(failures=failures)
    interactions = [akin.interaction("u", str(number), "VIEW") for number in range(600)]
    with RecordingServer({"ImportInteractions": [response]}) as server:
        responses = await call(server.address, "import_interactions", iter(interactions))
    assert [[0, 7], [250, 257], [500, 507]] == [
        [failure.position for failure in response.failures] for response in responses
    ]


async def test_further_responses_are_no_error(call: Call) -> None:
    """Responses beyond the number of messages are passed on."""
    response = akin.ImportInteractionsResponse(failures=[akin.InteractionFailure(position=0)])
    with RecordingServer({"ImportInteractions": [response] * 3}) as server:
        responses = await call(server.address, "import_interactions", [TIMED, TIMED])
    assert [0, 2, 2] == [response.failures[0].position for response in responses]


async def test_an_error_ends_an_import_of_endless_interactions(call: Call) -> None:
    """An error of the server ends an import whose interactions never end."""

    def interactions() -> Iterator[akin.Interaction]:
        while True:
            yield TIMED

    with RecordingServer(failure=NOT_FOUND) as server:
        with pytest.raises(akin.AkinError) as caught:
            await call(server.address, "import_interactions", interactions())
    assert grpc.StatusCode.NOT_FOUND == caught.value.code


def test_an_interaction_needs_a_time_zone() -> None:
    """A time without a time zone raises ValueError."""
    with pytest.raises(ValueError, match="time zone"):
        akin.interaction("u", "a", "LIKE", datetime(2026, 1, 2))  # noqa: DTZ001


def test_an_interaction_has_no_other_options() -> None:
    """A keyword that an interaction does not have raises TypeError, which names it."""
    options: dict[str, Any] = {"rating": 4}
    with pytest.raises(TypeError, match="rating"):
        akin.interaction("u", "a", "LIKE", **options)


def test_a_value_of_zero_is_a_value() -> None:
    """A value of 0 is sent, and no value is not."""
    assert akin.interaction("u", "a", "LIKE", value=0.0).HasField("value")
    assert not UNTIMED.HasField("value")
