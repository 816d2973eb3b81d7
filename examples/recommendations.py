"""Recommends books for a book, for a reader's preferences, and for examples with a filter.

python examples/recommendations.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample
from akin.filters import between

READER = "example-reader"
LIKES = ("sailing ships, storms and long voyages", "cooking and the pleasures of food")


def main(client: akin.Client) -> None:
    """Print three lists of recommendations."""
    similar = client.recommend_similar(item_id="book:dune", limit=4, full=True)
    show("Similar to Dune:", similar)

    client.upsert_user(
        READER,
        [*LIKES, akin.Preference(text="horror and ghosts", weight=-1.0)],
        liked_items=["book:the-martian"],
    )
    try:
        personal = client.recommend_similar(user_id=READER, limit=6, full=True, explain=True)
    finally:
        client.delete_user(READER)
    show("For a reader who likes ships, food and The Martian, and dislikes horror:", personal)

    recent = client.recommend_similar(
        examples=akin.examples(positive=["book:dracula", "book:carmilla"]),
        where=between("year", gte=1980),
        limit=4,
        full=True,
    )
    show("Like Dracula and Carmilla, since 1980:", recent)


def show(heading: str, response: akin.RecommendSimilarResponse) -> None:
    """Print recommendations with their explanations, if there are any."""
    print(heading)
    for hit in response.recommendations:
        reason = ""
        if hit.explanations:
            explanation = hit.explanations[0]
            reason = f" - because of {explanation.text or explanation.item_id}"
        print(f"  {hit.score:.3f}  {sample.title(hit.item)}{reason}")
    print()


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
