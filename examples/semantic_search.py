"""Searches books by meaning instead of words, with a minimum score and with a filter.

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
MIN_SCORE = 0.25


def main(client: akin.Client) -> None:
    """Print the results of each query, and recent results of the first query."""
    for query in QUERIES:
        show(query, client.recommend_similar(text=query, limit=3, min_score=MIN_SCORE, full=True))
    recent = between("year", gte=1940)
    response = client.recommend_similar(text=QUERIES[0], where=recent, limit=3, full=True)
    show(f"{QUERIES[0]}, since 1940", response)


def show(query: str, response: akin.RecommendSimilarResponse) -> None:
    """Print a query and its results."""
    print(f"{query}:")
    for hit in response.recommendations:
        year = hit.item.attributes.fields["year"].number_value
        print(f"  {hit.score:.3f}  {sample.title(hit.item)} ({year:.0f})")
    print()


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
