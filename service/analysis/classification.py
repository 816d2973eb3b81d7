"""Labels a text by the values of an attribute that items like it have."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from service.domain.analyses import Label, Labels, LabelsQuery, Voter
from service.domain.filters import Condition, Exists, Filter
from service.domain.generations import Generation
from service.domain.items import JsonValue
from service.domain.usage import EmbeddingUsage
from service.embedding.embedder import Vector
from service.embedding.text_embedder import TextEmbedder
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.index.vector_index import merge_hits
from service.storage.items import ItemStore

WIDTH = 0.1
"""A voter whose cosine is lower by this than the nearest one's counts 1/e of it. For the first
genre of 3,000 films, 20 voters: right for 0.437 (0.432 by the cosine itself, 0.427 alike; 0.430 at
0.05, 0.434 at 0.2)."""

ABSENT_VOTES = 1.0
"""For values that no neighbor has votes so much as the nearest item: a few voters are not to be
sure. It takes the expected calibration error of those films from 0.027 to 0.014 with 20 voters, and
from 0.156 to 0.041 with 5; half as much to 0.021 and 0.092, twice as much to 0.046 and 0.041."""

ROUNDS = 3
"""So often voters are looked for anew because theirs were written meanwhile."""


class TextClassifier:
    """Labels texts by the items of one catalog."""

    def __init__(
        self,
        store: ItemStore,
        generation: Generation,
        follower: Follower,
        text_embedder: TextEmbedder,
    ) -> None:
        self._store = store
        self._generation = generation
        self._follower = follower
        self._text_embedder = text_embedder

    async def classify(self, query: LabelsQuery) -> Labels:
        """The values of the attribute that the nearest items with it have.

        Raises:
            InvalidRequest, EmbeddingUnavailable: the text cannot be embedded.
        """
        vectors, usage = await self._text_embedder.query(query.text, "text")
        for last in reversed(range(ROUNDS)):
            voters, sequence = await self._voters(query, vectors)
            ids = [each.item_id for each in voters]
            written = await self._store.excerpts(self._generation, ids, 0)
            current = [
                each
                for each in voters
                if each.item_id in written and written[each.item_id].sequence <= sequence
            ]
            if len(current) == len(voters) or last == 0:
                break
            await self._follower.wait_for(await self._store.refresh())
        attributes = {each.item_id: written[each.item_id].attributes for each in current}
        return _answer(query, current, attributes, usage, sequence)

    async def _voters(self, query: LabelsQuery, vectors: Vector) -> tuple[list[Voter], int]:
        """The nearest items that have the attribute, and the last write this reflects."""
        conditions = [Condition(query.attribute, Exists(present=True))]
        if query.filter is not None:
            conditions.append(Condition("", query.filter))
        wanted = Filter(all=tuple(conditions))

        def work(item_index: ItemIndex) -> tuple[list[Voter], int]:
            exclude, allowed = item_index.restrict_search(
                wanted, item_index.find_keys(query.exclude_item_ids)
            )
            hits = merge_hits(
                item_index.vectors.search(
                    vectors, query.neighbor_count, exclude, allowed, exact=query.exact
                )
            )
            ranked = item_index.rank_hits(hits, query.neighbor_count)
            return [Voter(item_id, score) for item_id, score, _ in ranked], item_index.sequence

        return await self._follower.read(
            work, len(vectors), self._follower.count_conditions(wanted)
        )


def _answer(
    query: LabelsQuery,
    voters: Sequence[Voter],
    attributes: Mapping[str, str],
    usage: EmbeddingUsage,
    sequence: int,
) -> Labels:
    votes = [
        (
            each.similarity,
            list(values(json.loads(attributes[each.item_id]), query.attribute)),
        )
        for each in voters
    ]
    return Labels(probabilities(votes)[: query.limit], voters, usage, sequence)


def probabilities(votes: Sequence[tuple[float, Sequence[JsonValue]]]) -> list[Label]:
    """The labels that voters have, likeliest first, equal ones by value as JSON.

    Args:
        votes: of each voter the cosine and the values; one that it has several times counts once.
    """
    nearest = max((cosine for cosine, _ in votes), default=0.0)
    total = ABSENT_VOTES
    weights: dict[str, float] = {}
    for cosine, own in votes:
        weight = math.exp((cosine - nearest) / WIDTH)
        total += weight
        # As JSON, for Python takes True and 1.0 for equal.
        for name in {_canonical(value) for value in own}:
            weights[name] = weights.get(name, 0.0) + weight
    ordered = sorted(weights.items(), key=lambda each: (-each[1], each[0]))
    return [Label(json.loads(name), weight / total) for name, weight in ordered]


def values(attributes: Mapping[str, JsonValue], path: str) -> Iterator[JsonValue]:
    """The strings, numbers and booleans at a path, or in lists there; names joined by dots."""
    if path in attributes:
        found = attributes[path]
        several = found if isinstance(found, list | tuple) else [found]
        yield from (each for each in several if isinstance(each, str | bool | float | int))
    for name, inner in attributes.items():
        if isinstance(inner, Mapping) and path.startswith(f"{name}."):
            yield from values(inner, path.removeprefix(f"{name}."))


def _canonical(value: JsonValue) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = float(value) + 0.0  # of the two zeros only the positive one
    return json.dumps(value, ensure_ascii=False)
