"""Predicts the genres of a text from similar books, and measures the accuracy on other books.

python examples/classification.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample

TEXT = (
    "A retired spy is called back to find the traitor who has been selling the names of agents"
    " to Moscow."
)
TEST_BOOKS = 100


def main(client: akin.Client) -> None:
    """Print the labels of a new text, and how often the first label of a book is correct."""
    response = client.classify_text(TEXT, "genres", limit=4)
    print(f"{TEXT}\n")
    for label in response.labels:
        print(f"  {label.probability:.2f}  {label.value.string_value}")
    print(f"  from {len(response.neighbors)} similar books\n")

    correct_count = 0
    books = client.list_items(TEST_BOOKS).items
    for book in books:
        # A book must not be a neighbor of itself.
        prediction = client.classify_text(
            book.text, "genres", limit=1, exclude_item_ids=[book.item_id]
        )
        genres = [
            value.string_value for value in book.attributes.fields["genres"].list_value.values
        ]
        correct_count += prediction.labels[0].value.string_value in genres
    print(f"The first label is a genre of the book for {correct_count} of {len(books)} books.")


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
