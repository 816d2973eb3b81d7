"""Re-embeds a catalog while it serves, and rolls back.

The example only changes the template, which needs no API key. With OpenRouter, give another `model`
instead; the steps are the same.

python examples/another_model.py [HOST:PORT]
"""

from __future__ import annotations

import time

import akin
import sample

TEMPLATE = "A novel for people who like: {text}"
POLL_SECONDS = 0.1
QUERY = "a detective follows a case"


def main(client: akin.Client) -> None:
    """Print the estimate, the progress, and results before, after, and after the rollback."""
    show(client, "Before")
    estimate = client.estimate_reembedding(template=TEMPLATE)
    print(f"To embed: {estimate.text_count} texts for {estimate.cost_usd:.3g} US dollars")

    reembedding = client.start_reembedding(template=TEMPLATE)
    while reembedding.state != akin.ReembeddingState.REEMBEDDING_STATE_SERVING:
        show_progress(reembedding)
        time.sleep(POLL_SECONDS)
        reembedding = client.get_reembedding()
    show_progress(reembedding)

    show(client, "After")
    # The previous generation was kept up to date, so a rollback takes effect at once. If the new
    # model is better, commit_reembedding() drops the previous generation instead.
    client.rollback_reembedding()
    show(client, "Rolled back")


def show_progress(reembedding: akin.Reembedding) -> None:
    """Print the state of a re-embedding, and its number of embedded items."""
    state = akin.ReembeddingState.Name(reembedding.state).removeprefix("REEMBEDDING_STATE_").lower()
    print(f"  {state}: {reembedding.embedded_item_count} of {reembedding.item_count}")


def show(client: akin.Client, phase: str) -> None:
    """Print the template of the serving generation, and the results of a query."""
    template = client.get_catalog().space.template or "{text}"
    response = client.recommend_similar(text=QUERY, limit=3, full=True)
    titles = "; ".join(sample.title(hit.item) for hit in response.recommendations)
    print(f"{phase}, with {template!r}: {titles}")


if __name__ == "__main__":
    with sample.catalog() as connected:
        main(connected)
