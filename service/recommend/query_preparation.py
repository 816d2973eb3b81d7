"""Prepares a query: reads the profile of its source, and what behavior says for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from service import errors
from service.domain.behavior import BlendWeights
from service.domain.catalog_settings import CatalogSettings, SignalMode
from service.domain.recommendations import (
    DEFAULT_HALF_LIFE_DAYS,
    TEXT_SIGNALS,
    ExamplesSource,
    ItemSource,
    PopularSource,
    Query,
    Relation,
    Signals,
    TextSource,
    UserSource,
)
from service.domain.usage import EmbeddingUsage
from service.domain.users import LikedItem
from service.embedding.text_vectors import TextVectors
from service.index.lexical_search import WordQueries, WordQuery
from service.recommend.behavior_model import STAND_IN_WEIGHTS, BehaviorModel
from service.recommend.blending import ScoredBehavior
from service.recommend.boosts import QueryBoosts
from service.recommend.collaborative.blend_validation import DEFAULT_BLEND
from service.recommend.grouping import FilledGroups
from service.recommend.new_items import NewItemBoost, NewItems
from service.recommend.profile import Profile
from service.recommend.profile_reader import ProfileDraft, ProfileReader
from service.recommend.stand_ins import StandIns
from service.storage.profiles import UserHistory

_T = TypeVar("_T")

# The weights if behavior comes first. Text decides among items that behavior says nothing about.
BEHAVIOR_FIRST = BlendWeights(1.0, 0.4, 0.01)

# The most likes of a person, none of which the model knows, for which items stand in.
# With more, text alone finds more of the music likes than stand-ins do.
MAX_STAND_IN_LIKES = 1

# The model of a catalog, None before its first training.
FindModel = Callable[[], BehaviorModel | None]


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """A query with what its candidates are retrieved by.

    Attributes:
        query: the query.
        profile: of the source; None for an item that similar items are searched for, and for
            popular items.
        behavior: what behavior says for the profile, if it says anything.
        model: the model whose popular items are requested, if there is one.
        stand_ins: what behavior says otherwise, if anything.
        signals: what recommendations are based on, unless the item index lacks what they need.
        filled: what further candidates are not needed of, if there are candidates already.
        usage: of embedding its texts; that of a batch is not divided among its queries.
        words: those of a source text, if they count.
        boosts: what its boosts add to scores in the item index that is searched.
    """

    query: Query
    profile: Profile | None = None
    behavior: ScoredBehavior | None = None
    stand_ins: StandIns | None = None
    model: BehaviorModel | None = None
    signals: Signals = TEXT_SIGNALS
    filled: FilledGroups | None = None
    usage: EmbeddingUsage = field(default_factory=EmbeddingUsage)
    words: WordQuery | None = None
    boosts: QueryBoosts | None = None

    @property
    def max_query_count(self) -> int:
        """The number of vectors that are searched for at most."""
        return 1 if self.profile is None else self.profile.max_source_count


class QueryPreparation:
    """Prepares queries for one catalog.

    Args:
        profiles: reads the profiles of sources.
        find_model: returns the present model of the catalog.
        new_items: the new items of the catalog.
        settings: those of the catalog, whose signals are resolved.
        word_queries: makes the word queries of source texts.
    """

    def __init__(
        self,
        profiles: ProfileReader,
        find_model: FindModel,
        new_items: NewItems,
        settings: CatalogSettings,
        word_queries: WordQueries | None = None,
    ) -> None:
        self._profiles = profiles
        self._find_model = find_model
        self._word_queries = word_queries or WordQueries()
        self._new_items = new_items
        self._mode = settings.signals
        self._new_item_boost = settings.new_item_boost

    async def prepare(self, query: Query) -> PreparedQuery:
        """Prepare a valid query.

        Raises:
            UserNotFound: the source is a user who does not exist.
            HybridSearchOff: words are to count, but are not indexed.
            InvalidRequest: the model rejects a text.
            EmbeddingUnavailable: a text cannot be embedded now.
        """
        source = query.source
        user_ids = [source.user_id] if isinstance(source, UserSource) else []
        users = await self._profiles.read_users(user_ids)
        draft = self._draft(query, users)
        embedded = await self._profiles.embed(text.text for text in draft.texts)
        prepared = self._complete(query, draft, embedded)
        return replace(prepared, usage=embedded.usage) if embedded.usage.text_count else prepared

    async def prepare_many(
        self, queries: Sequence[Query]
    ) -> tuple[list[PreparedQuery | errors.AkinError], EmbeddingUsage]:
        """Prepare valid queries, and embed their texts together.

        Returns:
            Each query or, if it has one of errors.QUERY_ERRORS, its error; and the usage of all.

        Raises:
            Overloaded: the embedding queue is full.
            StoreUnavailable: the store cannot be read.
        """
        sources = [query.source for query in queries]
        user_ids = dict.fromkeys(
            source.user_id for source in sources if isinstance(source, UserSource)
        )
        users = await self._profiles.read_users(user_ids)
        drafts = []
        for query in queries:
            drafts.append(_catch(partial(self._draft, query, users)))
            await asyncio.sleep(0)  # a user may have thousands of interactions
        embedded = await self._profiles.embed(
            text.text for draft in drafts if isinstance(draft, ProfileDraft) for text in draft.texts
        )
        outcomes: list[PreparedQuery | errors.AkinError] = []
        for query, draft in zip(queries, drafts, strict=True):
            if isinstance(draft, ProfileDraft):
                outcomes.append(_catch(partial(self._complete, query, draft, embedded)))
            else:
                outcomes.append(draft)
            await asyncio.sleep(0)
        return outcomes, embedded.usage

    def _draft(self, query: Query, users: Mapping[str, UserHistory]) -> ProfileDraft:
        """Return the profile of a query, without the vectors of its texts."""
        source = query.source
        assert source is not None  # noqa: S101  (a valid query has a source)
        if isinstance(source, PopularSource | ItemSource):
            return ProfileDraft()
        if isinstance(source, TextSource):
            self._word_queries.check(query.lexical_weight)
        try:
            return self._profiles.draft(source, query.seen_types, users)
        except errors.UserNotFound:
            if not query.falls_back:
                raise
            return ProfileDraft()

    def _complete(self, query: Query, draft: ProfileDraft, embedded: TextVectors) -> PreparedQuery:
        source = query.source
        if isinstance(source, PopularSource):
            return self._prepare_popular(query)
        if isinstance(source, ItemSource):
            return self._prepare_item(query, source)
        profile = draft.complete(embedded)
        if query.falls_back and isinstance(source, UserSource) and not profile.has_likes:
            popular = replace(query, source=PopularSource(DEFAULT_HALF_LIFE_DAYS))
            return self._prepare_popular(popular, profile)
        words = None
        if isinstance(source, TextSource):
            words = self._word_queries.make(source.text, query.lexical_weight)
        return self._add_behavior(PreparedQuery(query, profile, words=words))

    def _prepare_popular(self, query: Query, profile: Profile | None = None) -> PreparedQuery:
        model = self._find_model()
        signals = Signals(0.0, 1.0, model.summary.train_time_us if model else None)
        return PreparedQuery(query, profile, model=model, signals=signals)

    def _prepare_item(self, query: Query, source: ItemSource) -> PreparedQuery:
        if query.relation is Relation.SIMILAR:
            return PreparedQuery(query)
        profile = Profile([LikedItem(source.item_id)], seen_item_ids={source.item_id})
        prepared = self._add_behavior(PreparedQuery(query, profile))
        if query.relation is Relation.ALSO_LIKED and prepared.behavior is None:
            return replace(prepared, signals=Signals(0.0, 1.0))  # nothing is learned about the item
        return prepared

    def _add_behavior(self, prepared: PreparedQuery) -> PreparedQuery:
        """Add what behavior says for the profile, if it counts."""
        profile, model = prepared.profile, self._find_model()
        relation = prepared.query.relation
        weights = None if model is None else self._choose_weights(model, relation)
        if model is None or weights is None or profile is None:
            return prepared
        weights = weights.normalize()
        factor = prepared.query.new_item_boost
        boost = NewItemBoost(
            self._new_items.ids, self._new_item_boost if factor is None else factor
        )
        scored = model.score(profile.items, weights, oldest_first=profile.oldest_first)
        if scored is not None:
            signals = _describe(weights, model)
            behavior = ScoredBehavior(model, scored, boost)
            return replace(prepared, behavior=behavior, signals=signals)
        is_person = isinstance(prepared.query.source, UserSource | ExamplesSource)
        if is_person and profile.has_likes and len(profile.items) <= MAX_STAND_IN_LIKES:
            signals = _describe(STAND_IN_WEIGHTS, model)
            return replace(prepared, stand_ins=StandIns(model, boost), signals=signals)
        return prepared

    def _choose_weights(self, model: BehaviorModel, relation: Relation) -> BlendWeights | None:
        """Return the weights of text and behavior, None for text alone."""
        if self._mode is SignalMode.TEXT:
            return None
        chosen = model.summary.blend.weights
        if relation is Relation.ALSO_LIKED:
            return replace(chosen if chosen.uses_behavior else BEHAVIOR_FIRST, text=0.0)
        if relation is Relation.BOTH:
            return chosen if chosen.uses_behavior else DEFAULT_BLEND
        if self._mode is SignalMode.BEHAVIOR:
            return chosen if chosen.uses_behavior else BEHAVIOR_FIRST
        return chosen if chosen.uses_behavior else None


def _catch(work: Callable[[], _T]) -> _T | errors.AkinError:
    """Return the result of work for one query, or its error that does not affect others."""
    try:
        return work()
    except errors.QUERY_ERRORS as exc:
        return exc


def _describe(weights: BlendWeights, model: BehaviorModel) -> Signals:
    """Return what recommendations by these weights are based on."""
    behavior_weight = weights.ridge + weights.following
    return Signals(weights.text, behavior_weight, model.summary.train_time_us)
