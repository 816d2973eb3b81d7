"""Builds a prompt for a language model from passages with numbered sources.

Send the output to any model. Its answer can cite [1] and [2], and you know what these are.

python examples/retrieval_for_generation.py [HOST:PORT]
"""

from __future__ import annotations

from collections.abc import Sequence

import akin
import sample

QUESTION = "Which stories are about first contact with aliens?"
PASSAGES = 4
PROMPT = """\
Answer the question with the sources below only. Cite sources as [1]. If they do not contain the
answer, say so.

{sources}

Question: {question}
"""


def main(client: akin.Client) -> None:
    """Print the prompt, and the items that its sources come from."""
    response = client.search_passages(QUESTION, limit=PASSAGES, limit_per_item=1)
    print(prompt(QUESTION, response.passages))
    print("Sources:")
    for number, passage in enumerate(response.passages, start=1):
        location = f"bytes {passage.start_offset} to {passage.end_offset}"
        print(f"  [{number}] {passage.item_id}, {location}, score {passage.score:.3f}")


def prompt(question: str, passages: Sequence[akin.Passage]) -> str:
    """Return a prompt with numbered sources."""
    sources = "\n\n".join(
        f"[{number}] {passage.text}" for number, passage in enumerate(passages, start=1)
    )
    return PROMPT.format(sources=sources, question=question)


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
