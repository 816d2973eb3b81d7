"""Labels texts with the genres of books that are like them, and counts how often that is right.

python examples/classification.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample

TEXT = (
    "A retired spy is called back to find the traitor who has been selling the names of agents"
    " to Moscow."
)
TESTED = 100


def main(client: akin.Client) -> None:
    """Prints the labels of a new text, and the share of books with a right first label."""
    answer = client.classify_text(TEXT, "genres", limit=4)
    print(f"{TEXT}\n")
    for label in answer.labels:
        print(f"  {label.probability:.2f}  {label.value.string_value}")
    print(f"  by the vote of {len(answer.voters)} books\n")

    right = 0
    books = client.list_items(TESTED).items
    for book in books:
        # A book must not vote for itself.
        labels = client.classify_text(book.text, "genres", limit=1, exclude_item_ids=[book.item_id])
        genres = [each.string_value for each in book.attributes.fields["genres"].list_value.values]
        right += labels.labels[0].value.string_value in genres
    print(f"The first label is one of the book's own genres for {right} of {len(books)} books.")


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
