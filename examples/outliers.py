"""Finds what does not belong: among the books, after planting two texts that are none.

python examples/outliers.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample

FOREIGN = {
    "planted:invoice": "Invoice 2291: 40 hex bolts M8 zinc plated, 12 washers, net 30 days.",
    "planted:stacktrace": "TypeError: cannot read property length of undefined, parser.js:84",
}
SHOWN = 6


def main(client: akin.Client) -> None:
    """Prints the oddest items; the planted ones should be among them."""
    for item_id, text in FOREIGN.items():
        client.upsert_item(item_id, text)
    found = client.find_outliers(limit=SHOWN, full=True)
    print(
        f"The oddest of {found.extent.item_count} items, by the mean cosine with their neighbours:"
    )
    for each in found.outliers:
        mark = "  <- planted" if each.item_id in FOREIGN else ""
        print(f"  {each.score:.3f}  {each.item.text[:50]}...{mark}")
    first = {each.item_id for each in found.outliers[: len(FOREIGN)]}
    print(f"\n{len(first & FOREIGN.keys())} of the first {len(FOREIGN)} are planted.")


if __name__ == "__main__":
    with sample.catalog() as connected:
        main(connected)
