"""Divides the items of a catalog into groups, and tells what each is about."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import numpy as np

from service import errors
from service.analysis.keywords import TEXT_CHARACTERS, distinctive
from service.analysis.kmeans import Groups, Items, Tally, divided, means
from service.analysis.sampling import Sample, passing, population, present
from service.domain.analyses import Cluster, ClusterItem, ClusterPoint, Clusters, ClustersQuery
from service.domain.filters import Filter
from service.domain.generations import Generation
from service.index.faiss_kmeans import KMEANS_ATTEMPTS, KMEANS_ROUNDS
from service.index.follower import Follower
from service.index.item_index import ItemIndex
from service.storage.items import ItemStore

ITEMS_AT_ONCE = 1_000
"""Vectors of so many items are copied out of the item index in 4 ms."""

TRAINED_ON = 20_000
TRAINING_COST = 40_000_000_000
"""Centers are made from so many items, fewer where that would take more multiply-adds: 2 s."""

TRAINED_ON_PER_CENTER = 2
WORDED = 5_000
WORDED_LEAST = 10
"""Words are taken from so many texts in all, and so many of each group at least."""

TEXTS_AT_ONCE = 500
SPARE = 10
"""So many representatives more than wanted are at hand, in case some have gone."""


class Clusterer:
    """Divides the items of one catalog."""

    def __init__(self, store: ItemStore, generation: Generation, follower: Follower) -> None:
        self._store = store
        self._generation = generation
        self._follower = follower

    async def find(self, query: ClustersQuery) -> Clusters:
        """The groups, largest first, with representatives, words and places on a map.

        Raises:
            TooFewItems: there are fewer items than groups.
        """
        sample = Sample(await population(self._follower, query.filter))
        items = sample.population.item_count
        if items < query.cluster_count:
            raise errors.TooFewItems(
                f"there are {items} items, fewer than {query.cluster_count} groups"
            )
        some = sample.some(ITEMS_AT_ONCE)
        training = await self._training_items(some, query)
        if not training.item_ids:
            return Clusters((), (), sample.coverage)
        loop = asyncio.get_running_loop()
        tally = await loop.run_in_executor(None, divided, training, query, items)
        for batch in some:
            await loop.run_in_executor(None, tally.take, await self._read(batch, query.filter))
        return await self._worded(tally, sample, query)

    async def _training_items(self, some: Iterator[Sequence[str]], query: ClustersQuery) -> Items:
        """The vectors that centers are made from."""
        read: list[Items] = []
        number, enough = 0, TRAINED_ON
        for batch in some:
            read.append(await self._read(batch, query.filter))
            number += len(read[-1].item_ids)
            cost = (
                read[-1].vectors.shape[1]
                * KMEANS_ROUNDS
                * KMEANS_ATTEMPTS
                * max(query.cluster_count, 1)
            )
            least = TRAINED_ON_PER_CENTER * query.cluster_count
            enough = max(least, min(TRAINED_ON, TRAINING_COST // max(cost, 1)))
            if number >= enough:
                break
        return Items.joined(read)

    async def _read(self, item_ids: Sequence[str], wanted: Filter | None) -> Items:
        """The items that are still there, and of each the mean of its chunks' vectors."""

        def work(item_index: ItemIndex) -> Items:
            keys = passing(item_index, item_ids, wanted)
            owned = item_index.vectors.get(list(keys.values()))
            return Items(list(keys), means(owned.vectors, owned.owners, len(keys)))

        return await self._follower.read_in_worker(work)

    async def _worded(self, tally: Tally, sample: Sample, query: ClustersQuery) -> Clusters:
        """The answer: what the tally has of items that are still there."""
        order = tally.order()
        groups, cosines = tally.groups, tally.cosines
        members = [np.flatnonzero(groups == group) for group in order]
        most = query.representative_limit + SPARE
        candidates = [tally.nearest(rows, most) for rows in members]
        ids = [tally.item_ids[row] for each in candidates for row in each]
        ids += tally.item_ids[: len(tally.places)]
        here, _ = await present(self._follower, list(dict.fromkeys(ids)), query.filter)
        words = await self._words(tally, members)
        scale = sample.population.item_count / len(groups)
        clusters = [
            Cluster(
                round(scale * len(rows)),
                own_words,
                [
                    ClusterItem(tally.item_ids[row], float(cosines[row]))
                    for row in nearest
                    if tally.item_ids[row] in here
                ][: query.representative_limit],
                float(cosines[rows].mean()),
                *map(float, tally.layout.places[group]),
            )
            for group, rows, nearest, own_words in zip(
                order, members, candidates, words, strict=True
            )
        ]
        ranks = {group: rank for rank, group in enumerate(order)}
        points = [
            ClusterPoint(item_id, ranks[group], *place)
            for item_id, group, place in zip(
                tally.item_ids, groups.tolist(), tally.places.tolist(), strict=False
            )
            if item_id in here
        ]
        return Clusters(clusters, points, sample.coverage)

    async def _words(self, tally: Tally, members: Sequence[Groups]) -> list[list[str]]:
        """The words of groups, from some texts of each."""
        number = max(WORDED_LEAST, WORDED // len(members))
        chosen = [[tally.item_ids[row] for row in rows[:number].tolist()] for rows in members]
        wanted = [item_id for each in chosen for item_id in each]
        texts: dict[str, str] = {}
        for start in range(0, len(wanted), TEXTS_AT_ONCE):
            some = wanted[start : start + TEXTS_AT_ONCE]
            written = await self._store.excerpts(self._generation, some, TEXT_CHARACTERS)
            texts |= {name: each.text for name, each in written.items() if not each.is_pending}
        by_group = [[texts[name] for name in each if name in texts] for each in chosen]
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, distinctive, by_group)
