"""The texts that the local model learns from: WordNet's entries and parts of the MASC corpus."""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SEED = 7

# Documents of several related entries, and lists of related words.
DOCUMENTS, LISTS = 30_000, 25_000

# How often the next entry of a document or list is related to the one before.
RELATED_SHARE = 0.8

# How often the text of an entry is its first word and the definition, or all words and it.
ONE_WORD_SHARE, ALL_WORDS_SHARE = 0.4, 0.3

# Words of a part of a MASC text.
MIN_WORDS, MAX_WORDS = 12, 90


class Entry(NamedTuple):
    """A synset: its words, its definition with examples, and the keys of related ones."""

    words: list[str]
    gloss: str
    related: list[str]


def make_texts(wordnet: Path, masc: Path) -> list[str]:
    """Return the texts in random order.

    Args:
        wordnet: the folder with the files `data.noun`, `data.verb`, `data.adj` and `data.adv`.
        masc: the archive `masc_tagged.zip` of NLTK.
    """
    drawn = random.Random(SEED)  # noqa: S311  (no secret)
    entries = dict(_read_entries(wordnet))
    keys = list(entries)
    texts = {_describe(entry, drawn) for entry in entries.values()}
    for _ in range(DOCUMENTS):
        walk = _walk(entries, keys, drawn, drawn.randint(2, 4))
        texts.add(" ".join(f"{entry.words[0].capitalize()}: {entry.gloss}." for entry in walk))
    for _ in range(LISTS):
        walk = _walk(entries, keys, drawn, drawn.randint(2, 12))
        texts.add(", ".join(drawn.choice(entry.words) for entry in walk))
    texts.update(_read_masc(masc, drawn))
    shuffled = sorted(texts)
    drawn.shuffle(shuffled)
    return shuffled


def _read_entries(folder: Path) -> Iterator[tuple[str, Entry]]:
    for part in ("noun", "verb", "adj", "adv"):
        for line in (folder / f"data.{part}").read_text("latin-1").splitlines():
            if line.startswith("  "):  # the license
                continue
            numbers, _, gloss = line.partition(" | ")
            fields = numbers.split()
            count = int(fields[3], 16)
            words = [fields[4 + 2 * number].replace("_", " ") for number in range(count)]
            pointers = fields[5 + 2 * count : 5 + 2 * count + 4 * int(fields[4 + 2 * count])]
            related = [
                pointers[first + 2].replace("s", "a") + pointers[first + 1]
                for first in range(0, len(pointers), 4)
            ]
            words = [re.sub(r"\([a-z]+\)$", "", word) for word in words]
            yield part[0] + fields[0], Entry(words, gloss.strip().replace('"', ""), related)


def _describe(entry: Entry, drawn: random.Random) -> str:
    form = drawn.random()
    if form < ONE_WORD_SHARE:
        return f"{entry.words[0]}: {entry.gloss}"
    if form < ONE_WORD_SHARE + ALL_WORDS_SHARE:
        return f"{', '.join(entry.words)}. {entry.gloss}"
    return entry.gloss


def _walk(
    entries: dict[str, Entry], keys: list[str], drawn: random.Random, length: int
) -> list[Entry]:
    """Return entries of which most are related to the one before."""
    key = drawn.choice(keys)
    walk = []
    for _ in range(length):
        walk.append(entries[key])
        related = [other for other in entries[key].related if other in entries]
        key = drawn.choice(related if related and drawn.random() < RELATED_SHARE else keys)
    return walk


def _read_masc(archive: Path, drawn: random.Random) -> Iterator[str]:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            if not name.endswith(".txt") or name.endswith("categories.txt"):
                continue
            tagged = file.read(name).decode("utf-8", "replace").split()
            words = [word.rpartition("_")[0] for word in tagged]
            first = 0
            while first < len(words):
                length = drawn.randint(MIN_WORDS, MAX_WORDS)
                text = " ".join(words[first : first + length])
                yield re.sub(r" ([.,;:!?]|'s|n't)(?= |$)", r"\1", text)
                first += length
