"""Builds a prompt for a language model from passages, with their sources numbered.

Send what it prints to any model: its answer can cite [1], [2], and you know what these are.

python examples/retrieval_for_generation.py [HOST:PORT]
"""

from __future__ import annotations

from collections.abc import Sequence

import akin
import sample

QUESTION = "Which stories are about first contact with aliens?"
PASSAGES = 4
PROMPT = """\
Answer the question from the sources below, and from nothing else. Cite sources as [1]. If they do
not tell, say so.

{sources}

Question: {question}
"""


def main(client: akin.Client) -> None:
    """Prints the prompt, and which items its sources are from."""
    found = client.search_passages(QUESTION, limit=PASSAGES, passages_per_item=1)
    print(prompt(QUESTION, found.passages))
    print("Where the sources are from:")
    for number, each in enumerate(found.passages, start=1):
        place = f"bytes {each.start_offset} to {each.end_offset}"
        print(f"  [{number}] {each.item_id}, {place}, score {each.score:.3f}")


def prompt(question: str, passages: Sequence[akin.Passage]) -> str:
    """A prompt with numbered sources."""
    sources = "\n\n".join(
        f"[{number}] {each.text}" for number, each in enumerate(passages, start=1)
    )
    return PROMPT.format(sources=sources, question=question)


if __name__ == "__main__":
    with sample.client() as connected:
        main(connected)
