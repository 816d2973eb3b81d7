"""Reads during the faults: every worker must answer as of an acknowledged write."""

from __future__ import annotations

import json

import grpc
from akin._errors import decode
from akin.filters import equals
from akin.v1 import recommender_service_pb2 as pb
from akin.v1.filter_pb2 import Filter
from akin.v1.item_pb2 import ITEM_STATE_PENDING, ITEM_VIEW_FULL

from faults.contents import read_item
from faults.model import Key, Version
from faults.writer import BUG_CODES, CALL_SECONDS, Writer

# The scores of equal texts.
EQUAL_SCORE = 0.999

RECOMMENDATIONS = 1_000


def read_own_write(writer: Writer) -> None:
    """Get an item over another connection, as of its acknowledged version."""
    choice = _choose(writer)
    if choice is None:
        return
    key, version = choice
    request = pb.GetItemRequest(catalog=key.catalog, item_id=key.id, min_sequence=version.sequence)
    try:
        response = writer.other_stubs.recommender.GetItem(request, timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        error = decode(exc)
        if error.reason == "ITEM_NOT_FOUND" and version.content is not None:
            writer.recorder.report("lost", key, f"expected {version}, found nothing")
        elif error.code in BUG_CODES:
            writer.recorder.report("wrong", key, f"GetItem failed: {error}")
        return
    if read_item(response.item) != version.content or response.item.sequence != version.sequence:
        writer.recorder.report("wrong", key, f"expected {version}, found {response.item}")


def read_recommendations(writer: Writer) -> None:
    """Search for the text of an item over another connection, as of its acknowledged version."""
    choice = _choose(writer)
    if choice is None:
        return
    key, version = choice
    if version.content is None:
        _check_absence(writer, key, version)
    elif writer.conditions.embeds_always and not _is_found(writer, key, version):
        writer.recorder.report("lost", key, f"its own text does not find {version}")


def _check_absence(writer: Writer, key: Key, version: Version) -> None:
    request = pb.RecommendSimilarRequest(
        catalog=key.catalog,
        text=writer.choose_text(),
        limit=RECOMMENDATIONS,
        min_sequence=version.sequence,
    )
    response = _recommend(writer, key, request)
    if response is not None and key.id in {hit.item_id for hit in response.recommendations}:
        writer.recorder.report("doubled", key, f"it is recommended, although {version}")


def _is_found(writer: Writer, key: Key, version: Version) -> bool:
    """Return whether the text and an attribute of a version find it, unless it is pending.

    Writes during the switch of a re-embedding are pending for a moment.
    """
    assert version.content is not None
    body = json.loads(version.content.body)
    request = pb.RecommendSimilarRequest(
        catalog=key.catalog,
        text=body["text"],
        filter=Filter(all=[equals("write", body["attributes"]["write"])]),
        view=ITEM_VIEW_FULL,
        min_sequence=version.sequence,
    )
    response = _recommend(writer, key, request)
    if response is None:
        return True
    for hit in response.recommendations:
        if hit.item_id == key.id:
            return hit.item.state == ITEM_STATE_PENDING or hit.score >= EQUAL_SCORE
    return _may_be_pending(writer, key)


def _may_be_pending(writer: Writer, key: Key) -> bool:
    request = pb.GetItemRequest(catalog=key.catalog, item_id=key.id)
    try:
        response = writer.other_stubs.recommender.GetItem(request, timeout=CALL_SECONDS)
    except grpc.RpcError:
        return True
    return bool(response.item.state == ITEM_STATE_PENDING)


def _recommend(
    writer: Writer, key: Key, request: pb.RecommendSimilarRequest
) -> pb.RecommendSimilarResponse | None:
    """Return the response over another connection; None if the call fails for a good reason."""
    try:
        return writer.other_stubs.recommender.RecommendSimilar(request, timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        if decode(exc).code in BUG_CODES:
            writer.recorder.report("wrong", key, f"RecommendSimilar failed: {decode(exc)}")
        return None


def _choose(writer: Writer) -> tuple[Key, Version] | None:
    """Return an item of the writer that no open request changes, with its version."""
    key = writer.choose_present_key("item")
    version = writer.get_version(key)
    return None if version is None or not version.sequence else (key, version)
