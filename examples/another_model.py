"""Changes what a catalog is embedded with while it goes on serving, and goes back.

Here only the words around each text change, for that needs no key; with OpenRouter give another
`model`. The steps are the same.

python examples/another_model.py [HOST:PORT]
"""

from __future__ import annotations

import time

import akin
import sample

TEMPLATE = "A novel for people who like: {text}"
LOOK_SECONDS = 0.1
TEXT = "a detective follows a case"


def main(client: akin.Client) -> None:
    """Prints the estimate, the progress, and answers before, after, and after going back."""
    show(client, "before")
    estimate = client.estimate_reembedding(template=TEMPLATE)
    print(f"To embed: {estimate.texts} texts for {estimate.cost_usd:.2f} US dollars")

    state = client.start_reembedding(template=TEMPLATE)
    while state.state != akin.ReembeddingState.REEMBEDDING_STATE_SWITCHED:
        name = akin.ReembeddingState.Name(state.state).removeprefix("REEMBEDDING_STATE_").lower()
        print(f"  {name}: {state.embedded_item_count} of {state.item_count}")
        time.sleep(LOOK_SECONDS)
        state = client.get_reembedding()
    print(f"  switched: {state.item_count} of {state.item_count}")

    show(client, "after")
    # The former vectors were kept up to date, so that the way back is one transaction. Where the
    # new model proves itself, finish_reembedding() drops them.
    client.cancel_reembedding()
    show(client, "back again")


def show(client: akin.Client, when: str) -> None:
    """Prints which template serves, and what it finds."""
    template = client.get_catalog().space.template or "{text}"
    found = client.recommend_similar(text=TEXT, limit=3, full=True)
    titles = "; ".join(sample.title(each.item) for each in found.recommendations)
    print(f"{when}, with {template!r}: {titles}")


if __name__ == "__main__":
    with sample.catalog() as connected:
        main(connected)
