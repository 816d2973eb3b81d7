"""Explanations of items that a user has seen but may be recommended again."""

from pathlib import Path

import akin
from support.server import RunningServer

TEXTS = {
    "boot": "Leather boots for hiking in the mountains",
    "tent": "A light tent for hiking in the mountains",
    "lamp": "Desk lamp with warm light",
    "pan": "Cast iron skillet for searing steaks",
}


def test_an_item_is_not_its_own_reason(tmp_path: Path) -> None:
    """A viewed item can be recommended, and the view of the item itself is no explanation."""
    with RunningServer(tmp_path) as server, server.client() as client:
        for item_id, text in TEXTS.items():
            client.upsert_item(item_id, text)
        client.record_interactions([akin.interaction("ann", "boot", "VIEW")])
        answer = client.recommend_similar(user_id="ann", explain=True)
        reasons = {
            hit.item_id: [part.item_id for part in hit.explanations]
            for hit in answer.recommendations
        }
        assert [] == reasons["boot"]
        assert ["boot"] == reasons["tent"]
