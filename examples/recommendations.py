"""Recommends books: similar to one, for a reader with tastes, and for examples with a filter.

python examples/recommendations.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample
from akin.filters import between

READER = "example-reader"
TASTES = ("sailing ships, storms and long voyages", "cooking and the pleasures of food")


def main(client: akin.Client) -> None:
    """Prints three lists of recommendations."""
    similar = client.recommend_similar(item_id="book:dune", limit=4, full=True)
    show("Similar to Dune:", similar)

    client.upsert_user(
        READER,
        [*TASTES, akin.Preference(text="horror and ghosts", weight=-1.0)],
        liked_items=["book:the-martian"],
    )
    try:
        theirs = client.recommend_similar(user_id=READER, limit=6, full=True, explain=True)
    finally:
        client.delete_user(READER)
    show("For a reader who likes ships, food and The Martian, and dislikes horror:", theirs)

    recent = client.recommend_similar(
        examples=akin.examples(positive=["book:dracula", "book:carmilla"]),
        where=between("year", gte=1980),
        limit=4,
        full=True,
    )
    show("Like Dracula and Carmilla, since 1980:", recent)


def show(heading: str, response: akin.RecommendSimilarResponse) -> None:
    """Prints recommendations, and for what each is recommended where that is told."""
    print(heading)
    for each in response.recommendations:
        because = ""
        if each.reasons:
            reason = each.reasons[0]
            because = f" - because of {reason.preference_text or reason.item_id}"
        print(f"  {each.score:.3f}  {sample.title(each.item)}{because}")
    print()


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
