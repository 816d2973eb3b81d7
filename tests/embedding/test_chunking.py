from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.limits import OWN_VECTORS, TEXT_BYTES
from service.embedding.chunking import MIN_CHUNK_TOKENS, find_spans, halve
from service.embedding.token_estimates import estimate_tokens

ALPHABET = st.sampled_from([*"abcdefgh   .!?", "\n", "\n\n", "漢", "。", "é", "🙂"])
TEXTS = st.lists(ALPHABET, max_size=600).map("".join)


def split(text: str, max_tokens: int) -> list[str]:
    return [text[start:end] for start, end in find_spans(text, max_tokens)]


@given(TEXTS, st.integers(4, 120))
def test_every_chunk_fits(text: str, tokens: int) -> None:
    """No chunk has more tokens than allowed, by our estimate."""
    assert all(estimate_tokens(chunk) <= tokens for chunk in split(text, tokens))


@given(TEXTS, st.integers(4, 120))
def test_no_text_is_lost(text: str, tokens: int) -> None:
    """Chunks cover the whole text except white space between them."""
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
    """A text that fits is one unchanged chunk."""
    assert [text] == split(text, estimate_tokens(text))


def paragraph(number: int) -> str:
    return f"Paragraph {number} says one thing. It goes on, and then it stops."


def test_chunks_end_where_paragraphs_do() -> None:
    """Chunks end at the end of a paragraph if one is near."""
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


def test_chunks_do_not_split_words() -> None:
    """Without sentences, chunks end between words."""
    words = [f"word{number}" for number in range(200)]
    for chunk in split(" ".join(words), 40):
        assert set(chunk.split()) <= set(words)


def test_chunks_overlap_a_little() -> None:
    """The end of a chunk is repeated at the start of the next one."""
    text = " ".join(f"s{number}." for number in range(500))
    chunks = split(text, 100)
    for before, after in pairwise(chunks):
        first_word = after.split()[0]
        assert first_word in before.split()
        assert before.split().index(first_word) > 0.8 * len(before.split())


@pytest.mark.parametrize("character", ["x", "漢", "🙂"])
def test_a_text_without_borders_is_split(character: str) -> None:
    """A text of one long word is split between characters."""
    chunks = split(character * 1_000, 50)
    assert {character} == set("".join(chunks))
    assert len("".join(chunks)) >= 1_000


@given(TEXTS)
def test_halves_are_shorter_and_cover_the_text(text: str) -> None:
    """A text is halved into shorter pieces that leave out nothing, unless it is very short."""
    spans = halve(text)
    if estimate_tokens(text) <= MIN_CHUNK_TOKENS:
        assert [(0, len(text))] == spans
        return
    end = 0
    for start, next_end in spans:
        assert not text[end:start].strip()
        assert estimate_tokens(text[start:next_end]) < estimate_tokens(text)
        end = next_end
    assert not text[end:].strip()


def test_the_vectors_of_the_longest_text_can_be_written() -> None:
    """A text of short chunks, with a border after each half, has no more than an item may have."""
    line = "7" * 79 + "\n\n"
    text = (line * (TEXT_BYTES // len(line) + 1))[:TEXT_BYTES]
    assert TEXT_BYTES // 90 < len(find_spans(text, 160)) <= OWN_VECTORS
