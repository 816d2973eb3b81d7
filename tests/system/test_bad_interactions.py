import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import akin
import pytest
from akin.v1 import interaction_service_pb2 as pb
from akin.v1.interaction_service_pb2_grpc import InteractionServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from support.rejections import RawClient, invalid, translated
from support.server import RunningServer

NAN, INF = float("nan"), float("inf")
NOW = datetime.now(UTC)
LONG_AGO = Timestamp(seconds=-1, nanos=999_999_999)
MARKER = "xylophagous-secret"
GOOD: dict[str, Any] = {"user_id": "u", "item_id": "a", "type": "LIKE"}

BAD_INTERACTIONS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no user": ({"user_id": ""}, ["user_id"]),
    "no item": ({"item_id": ""}, ["item_id"]),
    "no type": ({"type": ""}, ["type"]),
    "nothing": ({"user_id": "", "item_id": "", "type": ""}, ["user_id", "item_id", "type"]),
    "a type that no catalog has": ({"type": "NO_SUCH_TYPE"}, ["type"]),
    "a type in lower case": ({"type": "like"}, ["type"]),
    "a type with a space": ({"type": "LIKE "}, ["type"]),
    "a user of 257 bytes": ({"user_id": "x" * 257}, ["user_id"]),
    "a user of 258 bytes in 129 characters": ({"user_id": "é" * 129}, ["user_id"]),
    "an item of 257 bytes": ({"item_id": "x" * 257}, ["item_id"]),
    "an id of 257 bytes": ({"interaction_id": "x" * 257}, ["interaction_id"]),
    "a user with a line break": ({"user_id": "a\nb"}, ["user_id"]),
    "an item with a zero byte": ({"item_id": "a\x00b"}, ["item_id"]),
    "an id with a high control": ({"interaction_id": "a\x85b"}, ["interaction_id"]),
    "value NaN": ({"value": NAN}, ["value"]),
    "value infinite": ({"value": -INF}, ["value"]),
    "a time before 1970": ({"time": LONG_AGO}, ["time"]),
    "a time with too many nanoseconds": ({"time": Timestamp(nanos=1_000_000_000)}, ["time"]),
    "a time with negative nanoseconds": ({"time": Timestamp(seconds=1, nanos=-1)}, ["time"]),
    "a time after 9999": ({"time": Timestamp(seconds=253_402_300_800)}, ["time"]),
    "a time in more than a day": ({"time": NOW + timedelta(days=2)}, ["time"]),
}
GOOD_INTERACTIONS: dict[str, dict[str, Any]] = {
    "ids of 256 bytes": dict.fromkeys(("user_id", "item_id", "interaction_id"), "é" * 128),
    "ids of any script": {"user_id": "アン", "item_id": "🍵 %s ' --", "interaction_id": "ñ"},
    "the beginning of 1970": {"time": Timestamp()},
    "a time in less than a day": {"time": NOW + timedelta(hours=23)},
    "a negative value": {"value": -1e300},
    "a value of 0": {"value": 0.0},
    **{
        type_: {"type": type_}
        for type_ in ("VIEW", "CLICK", "LIKE", "PURCHASE", "SHARE", "DISLIKE", "SKIP")
    },
}
# What a page token holds beyond the checksum of its list, which callers can compute.
BAD_KEYS = {
    "no JSON": "u",
    "no list": "7",
    "too short": '["u", 1, "a"]',
    "too long": '["u", 1, "a", "LIKE", "", ""]',
    "a time that is a text": '["u", "1", "a", "LIKE", ""]',
    "a time that is a boolean": '["u", true, "a", "LIKE", ""]',
    "a time beyond 64 bits": '["u", 9223372036854775808, "a", "LIKE", ""]',
    "a time of many digits": '["u", ' + "9" * 5_000 + ', "a", "LIKE", ""]',
    "a user that is a number": '[1, 1, "a", "LIKE", ""]',
    "half a surrogate pair": '["\\ud800", 1, "a", "LIKE", ""]',
    "nested too deeply": "[" * 100_000,
}


@pytest.mark.parametrize("case", BAD_INTERACTIONS.values(), ids=BAD_INTERACTIONS.keys())
def test_every_invalid_field_is_named(
    client: akin.Client, case: tuple[dict[str, Any], list[str]]
) -> None:
    """The error of an invalid interaction names each invalid field; an import does so as well."""
    changes, fields = case
    bad = akin.Interaction(**{**GOOD, **changes})
    total = client.list_interactions(1).total_size
    with invalid(*(f"interactions[1].{field}" for field in fields)):
        client.record_interactions([akin.Interaction(**GOOD), bad])
    (response,) = client.import_interactions([bad], validate_only=True)
    (failure,) = response.failures
    assert all(field in failure.message for field in fields)
    assert total == client.list_interactions(1).total_size


@pytest.mark.parametrize("changes", GOOD_INTERACTIONS.values(), ids=GOOD_INTERACTIONS.keys())
def test_values_at_the_limits_are_recorded(
    client: akin.Client, prefix: str, changes: dict[str, Any]
) -> None:
    """An interaction at a limit is recorded and listed as it is, and can be deleted."""
    interaction = akin.Interaction(**{**GOOD, "user_id": prefix, **changes})
    assert 1 == client.record_interactions([interaction]).recorded_count
    (listed,) = client.list_interactions(user_id=interaction.user_id).interactions
    if not interaction.HasField("time"):
        assert listed.HasField("time")
        listed.ClearField("time")
    assert interaction == listed
    assert 1 == client.delete_interactions(interaction.user_id).deleted_count


def test_other_fields_are_named(client: akin.Client) -> None:
    """Invalid fields of the other requests are named, all at once."""
    with invalid("interactions"):
        client.record_interactions([])
    with invalid("user_id"):
        client.delete_interactions("")
    with invalid("user_id"):
        client.delete_interactions("x" * 257)
    with invalid("min_sequence", "user_id", "page_token", "page_size"):
        client.list_interactions(1_001, "x", user_id="a\n", min_sequence=-1)
    with invalid("page_size"):
        client.list_interactions(-1)


def test_a_page_token_belongs_to_its_list(client: akin.Client, prefix: str) -> None:
    """The token of one list is invalid for the list of another user or other resources."""
    client.record_interactions([akin.interaction(prefix, str(n), "VIEW") for n in range(2)])
    token = client.list_interactions(1, user_id=prefix).next_page_token
    assert client.list_interactions(1, token, user_id=prefix).interactions
    for user_id in ("", "another"):
        with invalid("page_token"):
            client.list_interactions(1, token, user_id=user_id)
    with invalid("page_token"):
        client.list_users(1, token)
    client.delete_interactions(prefix)


@pytest.mark.parametrize("key", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_forged_page_token_is_invalid(client: akin.Client, key: str) -> None:
    """A token with the checksum of its list and any other content is invalid or a valid one."""
    checksum = crc32(b"default\0interactions ").to_bytes(4)
    genuine = base64.urlsafe_b64encode(checksum + json.dumps(["u", 1, "a", "LIKE", ""]).encode())
    client.list_interactions(1, genuine.decode())
    with invalid("page_token"):
        client.list_interactions(1, base64.urlsafe_b64encode(checksum + key.encode()).decode())


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (pb.ImportInteractionsRequest(interactions=[akin.Interaction()] * 1_001), "interactions"),
        (pb.ImportInteractionsRequest(catalog="No Such"), "catalog"),
        (pb.ImportInteractionsRequest(catalog="No Such", validate_only=True), "catalog"),
    ],
    ids=["1,001 interactions", "malformed catalog", "malformed catalog to validate"],
)
def test_a_bad_message_ends_an_import(
    client: akin.Client,
    raw: RawClient,
    prefix: str,
    bad: pb.ImportInteractionsRequest,
    field: str,
) -> None:
    """A bad message ends an import: what came before it is recorded, and nothing behind it."""
    first, last = (
        pb.ImportInteractionsRequest(interactions=[akin.interaction(prefix, item_id, "VIEW")])
        for item_id in ("first", "last")
    )
    responses = InteractionServiceStub(raw.channel).ImportInteractions(iter([first, bad, last]))
    with translated():
        assert 1 == next(responses).recorded_count
    with invalid(field), translated():
        list(responses)
    listed = client.list_interactions(user_id=prefix).interactions
    assert ["first"] == [interaction.item_id for interaction in listed]
    client.delete_interactions(prefix)


def test_ids_and_types_reach_no_log_and_no_error(tmp_path: Path) -> None:
    """No id, type or token of a caller appears in an error or in the log."""
    good = akin.interaction(MARKER, MARKER, "LIKE", interaction_id=MARKER)
    bad = akin.interaction(f"{MARKER}\n", MARKER * 30, MARKER, interaction_id=f"{MARKER}\0")
    errors = []
    with RunningServer(tmp_path, LOG_LEVEL="debug") as server:
        with server.client() as client:
            client.record_interactions([good])
            (response,) = client.import_interactions([good, bad])
            errors.append(response.failures[0].message)
            token = client.list_interactions(1, user_id=MARKER).next_page_token
            for call in (
                lambda: client.record_interactions([bad]),
                lambda: client.list_interactions(1, f"{MARKER}{token}", user_id=f"{MARKER}\n"),
                lambda: client.delete_interactions(f"{MARKER}\n"),
            ):
                with pytest.raises(akin.AkinError) as caught:
                    call()
                errors.append(f"{caught.value} {caught.value.violations}")
            assert 1 == client.delete_interactions(MARKER).deleted_count
        assert 0 == server.stop()
    assert MARKER not in "".join(errors)
    assert MARKER not in "\n".join(server.log)
    assert [] == server.events("call_failed")
