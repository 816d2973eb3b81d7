"""Finds texts that say the same in nearly the same words, after planting three.

python examples/duplicates.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample


def main(client: akin.Client) -> None:
    """Plants copies that a shop might get from several suppliers, and prints what is found."""
    dune, emma = (client.get_item(f"book:{name}").text for name in ("dune", "emma"))
    client.upsert_item("supplier-1:dune", dune)
    client.upsert_item(
        "supplier-2:dune", f"NEW! {dune.replace('unsettling', 'thrilling')} Paperback."
    )
    client.upsert_item("supplier-1:emma", f"{emma} A classic for every shelf.")

    for answer in client.find_duplicates():
        extent = answer.extent
        print(f"{extent.examined_count} of {extent.item_count} items were looked at")
        for group in answer.groups:
            first, *others = group.items
            print(f"\n{first.item_id} was there first, and is repeated by")
            for each in others:
                print(f"  {each.item_id} (cosine {each.similarity:.3f})")

    (answer,) = client.find_duplicates(item_id="supplier-1:emma")
    same = ", ".join(each.item_id for group in answer.groups for each in group.items)
    print(f"\nAround supplier-1:emma alone: {same}")


if __name__ == "__main__":
    with sample.catalog() as connected:
        main(connected)
