from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.embedding.chunking import split
from service.embedding.embedder import estimate_tokens

ALPHABET = st.sampled_from([*"abcdefgh   .!?", "\n", "\n\n", "漢", "。", "é", "🙂"])
TEXTS = st.lists(ALPHABET, max_size=600).map("".join)


@given(TEXTS, st.integers(4, 120))
def test_every_chunk_fits(text: str, tokens: int) -> None:
    """No chunk is longer than the model's context, by our estimate."""
    assert all(estimate_tokens(chunk) <= tokens for chunk in split(text, tokens))


@given(TEXTS, st.integers(4, 120))
def test_nothing_is_left_out(text: str, tokens: int) -> None:
    """The chunks follow each other through the text, and only white space lies between."""
    end = 0
    for chunk in split(text, tokens):
        window = text[: end + len(chunk) + len(text[end:]) - len(text[end:].lstrip())]
        start = window.rfind(chunk)
        assert start >= 0
        assert not text[end:start].strip()
        end = max(end, start + len(chunk))
    assert not text[end:].strip()


@given(TEXTS)
def test_a_short_text_is_one_chunk(text: str) -> None:
    """A text that fits is left as it is."""
    assert [text] == split(text, estimate_tokens(text))


def paragraph(number: int) -> str:
    return f"Paragraph {number} says one thing. It goes on, and then it stops."


def test_chunks_end_where_paragraphs_do() -> None:
    """Paragraphs are not torn apart where a border between two of them is near."""
    paragraphs = [paragraph(number) for number in range(12)]
    for chunk in split("\n\n".join(paragraphs), 50):
        assert chunk.rstrip().endswith("stops.")


def test_chunks_end_where_sentences_do() -> None:
    """Without paragraphs, chunks end and start with whole sentences."""
    text = " ".join(f"Sentence number {number} is short." for number in range(300))
    chunks = split(text, 300)
    assert len(chunks) > 5
    for chunk in chunks:
        assert chunk.startswith("Sentence")
        assert chunk.rstrip().endswith("short.")


def test_chunks_do_not_tear_words() -> None:
    """Without sentences, chunks end between words."""
    words = [f"word{number}" for number in range(200)]
    for chunk in split(" ".join(words), 40):
        assert set(chunk.split()) <= set(words)


def test_chunks_overlap_a_little() -> None:
    """What stands at the end of a chunk stands at the start of the next one too."""
    text = " ".join(f"s{number}." for number in range(500))
    chunks = split(text, 100)
    for before, after in pairwise(chunks):
        first = after.split()[0]
        assert first in before.split()
        assert before.split().index(first) > 0.8 * len(before.split())


@pytest.mark.parametrize("character", ["x", "漢", "🙂"])
def test_a_text_without_borders_is_split_all_the_same(character: str) -> None:
    """A text of one endless word is cut between characters."""
    chunks = split(character * 1_000, 50)
    assert {character} == set("".join(chunks))
    assert len("".join(chunks)) >= 1_000
