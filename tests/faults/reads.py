"""Reads during the faults: every worker must answer as of an acknowledged write."""

from __future__ import annotations

import json

import grpc
from akin._errors import decode
from akin.v1 import recommender_service_pb2 as pb

from faults.model import Key, Version
from faults.writer import BUG_CODES, CALL_SECONDS, Writer, read_item

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
    is_present = version.content is not None
    text = json.loads(version.content.body)["text"] if version.content else writer.choose_text()
    request = pb.RecommendSimilarRequest(
        catalog=key.catalog, text=text, limit=RECOMMENDATIONS, min_sequence=version.sequence
    )
    try:
        response = writer.other_stubs.recommender.RecommendSimilar(request, timeout=CALL_SECONDS)
    except grpc.RpcError as exc:
        if decode(exc).code in BUG_CODES:
            writer.recorder.report("wrong", key, f"RecommendSimilar failed: {decode(exc)}")
        return
    scores = {hit.item_id: hit.score for hit in response.recommendations}
    if is_present and writer.conditions.embeds_always and scores.get(key.id, 0.0) < EQUAL_SCORE:
        writer.recorder.report(
            "lost", key, f"its own text finds {key.id} with {scores.get(key.id)} of {version}"
        )
    if not is_present and key.id in scores:
        writer.recorder.report("doubled", key, f"it is recommended, although {version}")


def _choose(writer: Writer) -> tuple[Key, Version] | None:
    """Return an item of the writer that no open request changes, with its version."""
    key = writer.choose_present_key("item")
    version = writer.get_version(key)
    return None if version is None or not version.sequence else (key, version)
