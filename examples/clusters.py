"""Clusters the books, describes each cluster, and finds the neighbors of a book on the map.

To draw the map: akin clusters --plot map.png

python examples/clusters.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample

CLUSTERS = 8
KEYWORDS = 4
BOOK = "book:dune"


def main(client: akin.Client) -> None:
    """Print the clusters with keywords and representatives, and a book's neighbors on the map."""
    response = client.cluster_items(
        cluster_count=CLUSTERS,
        representative_limit=3,
        point_limit=client.get_catalog().item_count,
    )
    print(f"{response.coverage.item_count} books in {len(response.clusters)} clusters:\n")
    for cluster in response.clusters:
        print(f"{cluster.item_count} books about {', '.join(cluster.keywords[:KEYWORDS])}")
        print(f"  such as {'; '.join(titles(client, cluster))}")

    book = next(point for point in response.points if point.item_id == BOOK)
    nearest = sorted(
        response.points, key=lambda point: (point.x - book.x) ** 2 + (point.y - book.y) ** 2
    )
    print(f"\n{BOOK} is at ({book.x:.2f}, {book.y:.2f}) on the map, and the nearest books are")
    for point in nearest[1:4]:
        print(f"  {point.item_id} at ({point.x:.2f}, {point.y:.2f})")


def titles(client: akin.Client, cluster: akin.Cluster) -> list[str]:
    """Return the titles of the representatives of a cluster."""
    item_ids = [item.item_id for item in cluster.representatives]
    return [sample.title(item) for item in client.batch_get_items(item_ids).items]


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
