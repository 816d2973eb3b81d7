import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import akin
import pytest
from akin import filters
from akin.v1 import analysis_service_pb2 as pb
from akin.v1.analysis_service_pb2_grpc import AnalysisServiceStub
from support.analysis import found_groups, stub
from support.foreign import FOREIGN
from support.server import RunningServer

MOVIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "movies"
TIMEOUT_SECONDS = 60.0
PLANTED = 150
OTHER_SENTENCES = (
    "Nothing will remain as it once was for those who were there.",
    "What happens afterwards surprises every one of the people involved.",
    "From then on the story takes a turn that nobody had expected.",
)

pytestmark = pytest.mark.skipif(
    not MOVIES.is_dir(), reason="the film data is not at ../shared/data/movies"
)


def films() -> list[dict[str, Any]]:
    with (MOVIES / "items.jsonl").open(encoding="utf-8") as file:
        found = [json.loads(line) for line in file]
    for each in found:
        each["attributes"]["genre"] = next(iter(each["attributes"]["genres"]), "none")
    return found


FILMS = films() if MOVIES.is_dir() else []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that holds all films, each with its first genre."""
    with RunningServer(tmp_path_factory.mktemp("analysis")) as running, running.client() as client:
        store(client, {each["id"]: (each["text"], each["attributes"]) for each in FILMS})
        yield running


@pytest.fixture(scope="module")
def calls(server: RunningServer) -> Iterator[AnalysisServiceStub]:
    with stub(server.address) as found:
        yield found


def store(client: akin.Client, items: dict[str, tuple[str, dict[str, Any]]]) -> None:
    messages = (akin.item(item_id, *each) for item_id, each in items.items())
    assert {0} == {result.code for result in client.import_items(messages)}


def reworded(text: str, drawn: random.Random) -> str:
    """A film's text with one sentence of its story in other words."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    place = drawn.randrange(2, max(3, len(sentences) - 1))
    sentences[min(place, len(sentences) - 1)] = drawn.choice(OTHER_SENTENCES)
    return " ".join(sentences)


def copies() -> dict[str, tuple[str, str]]:
    """Ids of copies: the id of their original, and their text."""
    drawn = random.Random(7)
    chosen = drawn.sample(FILMS, 3 * PLANTED)
    found = {}
    for number, each in enumerate(chosen):
        text = each["text"]
        if number % 3 == 1:
            text = re.sub(r"[.,]", " !", text.upper())
        elif number % 3 == 2:
            text = reworded(text, drawn)
        found[f"copy:{number}"] = (each["id"], text)
    return found


def test_planted_duplicates_are_found(server: RunningServer, calls: AnalysisServiceStub) -> None:
    """Exact, shouted and partly reworded copies: precision 0.95, recall 0.85, by pairs."""
    planted = copies()
    with server.client() as client:
        store(client, {name: (text, {"copy": True}) for name, (_, text) in planted.items()})
        replies = list(calls.FindDuplicates(pb.FindDuplicatesRequest(), timeout=TIMEOUT_SECONDS))
        for name in planted:
            client.delete_item(name)
    pairs = {
        frozenset((group[one], group[other]))
        for group in found_groups(replies)
        for other in range(len(group))
        for one in range(other)
    }
    right = {frozenset((name, original)) for name, (original, _) in planted.items()}
    print(f"precision {len(pairs & right) / len(pairs)}, recall {len(pairs & right) / len(right)}")  # noqa: T201
    assert len(pairs & right) / len(pairs) >= 0.95
    assert len(pairs & right) / len(right) >= 0.85
    assert not replies[-1].groups.coverage.sampled
    assert len(FILMS) + len(planted) == replies[-1].groups.coverage.examined_item_count


def test_foreign_texts_are_outliers(server: RunningServer, calls: AnalysisServiceStub) -> None:
    """Ten texts that are no films' rank so high as outliers that the average precision is 0.7."""
    with server.client() as client:
        store(client, {name: (text, {}) for name, text in FOREIGN.items()})
        found = calls.FindOutliers(pb.FindOutliersRequest(limit=1000), timeout=TIMEOUT_SECONDS)
        for name in FOREIGN:
            client.delete_item(name)
    ranks = [rank for rank, each in enumerate(found.outliers, 1) if each.item_id in FOREIGN]
    precision = sum(hits / rank for hits, rank in enumerate(ranks, 1)) / len(FOREIGN)
    print(f"average precision {precision}, ranks {ranks}")  # noqa: T201
    assert 10 == len(FOREIGN)
    assert precision >= 0.7


def unlabelled(film: dict[str, Any]) -> str:
    """A film's text without title and genres."""
    named = ", ".join(film["attributes"]["genres"])
    text = str(film["text"]).removeprefix(f"{film['attributes']['title']}. ")
    return text.removeprefix(f"{named}. ")


def test_genres_of_films_are_told(calls: AnalysisServiceStub) -> None:
    """The first genre is right 1.9 times as often as the most frequent one, and calibrated."""
    sample = [each for each in FILMS if each["attributes"]["genre"] != "none"][::3]
    right, probabilities = [], []
    for film in sample:
        answer = calls.ClassifyText(
            pb.ClassifyTextRequest(
                text=unlabelled(film), attribute="genre", exclude_item_ids=[film["id"]]
            )
        )
        assert film["id"] not in {each.item_id for each in answer.neighbors}
        right.append(film["attributes"]["genre"] == answer.labels[0].value.string_value)
        probabilities.append(answer.labels[0].probability)
        assert sum(each.probability for each in answer.labels) <= 1.0 + 1e-5
    genres = Counter(each["attributes"]["genre"] for each in sample)
    majority = genres.most_common(1)[0][1] / len(sample)
    accuracy, error = sum(right) / len(right), calibration_error(probabilities, right)
    print(f"accuracy {accuracy}, majority {majority}, calibration error {error}")  # noqa: T201
    assert accuracy >= 1.9 * majority
    assert error <= 0.1


def calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """The expected calibration error over ten bins."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for probability, hit in zip(probabilities, right, strict=True):
        bins.setdefault(min(int(10 * probability), 9), []).append((probability, hit))
    gaps = (abs(sum(p for p, _ in some) - sum(hit for _, hit in some)) for some in bins.values())
    return sum(gaps) / len(probabilities)


def test_clusters_of_films_have_to_do_with_genres(calls: AnalysisServiceStub) -> None:
    """Twelve groups share 0.15 of their information with the first genre, the same each time."""
    request = pb.ClusterItemsRequest(cluster_count=12, point_limit=len(FILMS))
    answer = calls.ClusterItems(request, timeout=TIMEOUT_SECONDS)
    again = calls.ClusterItems(request, timeout=TIMEOUT_SECONDS)
    assert answer == again
    assert 12 == len(answer.clusters)
    assert len(FILMS) == sum(each.item_count for each in answer.clusters) == len(answer.points)
    genre = {each["id"]: each["attributes"]["genre"] for each in FILMS}
    shared = mutual([(each.cluster_index, genre[each.item_id]) for each in answer.points])
    print(f"normalised mutual information {shared}")  # noqa: T201
    assert shared >= 0.15
    assert any("space" in each.keywords for each in answer.clusters)


def mutual(pairs: Sequence[tuple[Any, Any]]) -> float:
    """The mutual information of two labellings over the mean of their entropies."""
    number = len(pairs)
    both = Counter(pairs)
    one, other = Counter(each for each, _ in pairs), Counter(each for _, each in pairs)
    information = sum(
        count / number * math.log(count * number / (one[a] * other[b]))
        for (a, b), count in both.items()
    )
    return 2 * information / (entropy(one) + entropy(other))


def entropy(counts: Counter[Any]) -> float:
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values())


def test_the_passage_of_a_book_is_found(server: RunningServer, calls: AnalysisServiceStub) -> None:
    """Of one text of fifty pages the passage with a planted sentence comes first."""
    planted = "Prune the apple tree in February and spray its branches and buds against aphids."
    stories = [str(each["text"]) for each in FILMS if "Thriller" in each["attributes"]["genres"]]
    book = " ".join(stories[:250])
    middle = book.index(". ", len(book) // 2) + 2
    book = f"{book[:middle]}{planted} {book[middle:]}"
    assert len(book) > 50 * 1_800
    with server.client() as client:
        client.upsert_item("book", book, {"book": True})
        query = "pruning apple tree branches, aphids on buds"
        wanted = filters.all_of(filters.exists("book"))
        request = pb.SearchPassagesRequest(text=query, limit=1, filter=wanted)
        found = calls.SearchPassages(request).passages
        client.delete_item("book")
    assert "book" == found[0].item_id
    assert planted in found[0].text
    cut = book.encode()[found[0].start_offset : found[0].end_offset]
    assert found[0].text.encode() == cut
