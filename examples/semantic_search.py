"""Finds books by what they are about, whatever their words; with a filter, and a least score.

python examples/semantic_search.py [HOST:PORT]
"""

from __future__ import annotations

import akin
import sample
from akin.filters import between

QUERIES = (
    "survival at sea and in the polar ice",
    "a detective follows a case that powerful people want closed",
    "secret messages and ciphers",
)
LEAST_SCORE = 0.25


def main(client: akin.Client) -> None:
    """Prints what is found for each query, and for the first of them only what is recent."""
    for query in QUERIES:
        show(query, client.recommend_similar(text=query, limit=3, min_score=LEAST_SCORE, full=True))
    recent = between("year", gte=1940)
    found = client.recommend_similar(text=QUERIES[0], where=recent, limit=3, full=True)
    show(f"{QUERIES[0]}, since 1940", found)


def show(query: str, response: akin.RecommendSimilarResponse) -> None:
    """Prints a query and the books that were found for it."""
    print(f"{query}:")
    for each in response.recommendations:
        year = each.item.attributes.fields["year"].number_value
        print(f"  {each.score:.3f}  {sample.title(each.item)} ({year:.0f})")
    print()


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
