"""Finds items that do not belong: two texts that are no books.

python examples/outliers.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample

PLANTED_TEXTS = {
    "planted:invoice": "Invoice 2291: 40 hex bolts M8 zinc plated, 12 washers, net 30 days.",
    "planted:stacktrace": "TypeError: cannot read property length of undefined, parser.js:84",
}
LIMIT = 6


def main(client: akin.Client) -> None:
    """Print the strongest outliers; the planted texts should be among them."""
    for item_id, text in PLANTED_TEXTS.items():
        client.upsert_item(item_id, text)
    response = client.find_outliers(limit=LIMIT, full=True)
    print(f"Outliers of {response.coverage.item_count} items, by mean similarity to neighbors:")
    for outlier in response.outliers:
        mark = "  <- planted" if outlier.item_id in PLANTED_TEXTS else ""
        print(f"  {outlier.mean_similarity:.3f}  {outlier.item.text[:50]}...{mark}")
    strongest_ids = {outlier.item_id for outlier in response.outliers[: len(PLANTED_TEXTS)]}
    planted_count = len(strongest_ids & PLANTED_TEXTS.keys())
    print(f"\n{planted_count} of the first {len(PLANTED_TEXTS)} are planted.")


if __name__ == "__main__":
    with sample.catalog() as connected:
        main(connected)
