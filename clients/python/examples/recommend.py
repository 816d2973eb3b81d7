"""Stores three items and a user, and recommends items.

python recommend.py [HOST:PORT]
"""

from __future__ import annotations

import sys

import akin

ITEMS = (
    akin.item("shoe-1", "Lightweight trail running shoes with a grippy sole", {"price": 89}),
    akin.item("shoe-2", "Waterproof leather boots for winter hikes", {"price": 149}),
    akin.item("pan-1", "Cast iron skillet for searing steaks", {"price": 45}),
)


def main(address: str) -> None:
    """Run the example against a server."""
    with akin.Client(address) as client:
        for result in client.import_items(ITEMS):
            if result.code:
                print(f"{result.item_id}: {result.message}")
        for hit in client.recommend_similar(text="jogging in the forest").recommendations:
            print(f"{hit.score:.3f} {hit.item_id}")
        client.upsert_user("ann", preferences=["cooking meat"], liked_items=["shoe-2"])
        for hit in client.recommend_similar(user_id="ann", full=True).recommendations:
            print(f"{hit.score:.3f} {hit.item.text}")
        client.update_item("pan-1", attributes={"price": 39}, update_mask=["attributes.price"])
        try:
            client.get_item("missing")
        except akin.AkinError as error:
            print("an item that does not exist:", error.code.name, error.reason)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051")
