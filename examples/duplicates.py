"""Finds near-duplicates after adding three copies of books.

python examples/duplicates.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample


def main(client: akin.Client) -> None:
    """Add copies that a shop might get from several suppliers, and print the near-duplicates."""
    dune, emma = (client.get_item(f"book:{name}").text for name in ("dune", "emma"))
    client.upsert_item("supplier-1:dune", dune)
    client.upsert_item(
        "supplier-2:dune", f"NEW! {dune.replace('unsettling', 'thrilling')} Paperback."
    )
    client.upsert_item("supplier-1:emma", f"{emma} A classic for every shelf.")

    for event in client.find_duplicates():
        if event.HasField("progress"):
            show_coverage(event.progress.coverage)
        else:
            show_coverage(event.groups.coverage)
            show_groups(event.groups)

    *_, last = client.find_duplicates(item_id="supplier-1:emma")
    item_ids = ", ".join(item.item_id for group in last.groups.groups for item in group.items)
    print(f"\nNear-duplicates around supplier-1:emma: {item_ids}")


def show_coverage(coverage: akin.Coverage) -> None:
    """Print the number of examined items."""
    print(f"Examined {coverage.examined_item_count} of {coverage.item_count} items")


def show_groups(groups: akin.DuplicateGroups) -> None:
    """Print groups of near-duplicates."""
    for group in groups.groups:
        first, *copies = group.items
        print(f"\nNear-duplicates of {first.item_id}:")
        for copy in copies:
            print(f"  {copy.item_id} (similarity {copy.similarity:.3f})")


if __name__ == "__main__":
    with sample.catalog() as connected:
        main(connected)
