"""Divides the books into groups, tells what each is about, and finds where a book is on the map.

For a picture of it: akin clusters --plot map.png

python examples/clusters.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample

GROUPS = 8
WORDS = 4
BOOK = "book:dune"


def main(client: akin.Client) -> None:
    """Prints the groups with their words and middles, and one book's neighbors on the map."""
    found = client.cluster_items(
        cluster_count=GROUPS, representative_limit=3, point_limit=client.get_catalog().item_count
    )
    print(f"{found.extent.item_count} books in {len(found.clusters)} groups:\n")
    for group in found.clusters:
        middle = (sample.title(client.get_item(each.item_id)) for each in group.representatives)
        print(f"{group.item_count} books about {', '.join(group.words[:WORDS])}")
        print(f"  such as {'; '.join(middle)}")

    own = next(each for each in found.points if each.item_id == BOOK)
    near = sorted(found.points, key=lambda one: (one.x - own.x) ** 2 + (one.y - own.y) ** 2)
    print(f"\n{BOOK} is at ({own.x:.2f}, {own.y:.2f}) on the map, and near it are")
    for each in near[1:4]:
        print(f"  {each.item_id} at ({each.x:.2f}, {each.y:.2f})")


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
