"""Runs an evaluation: one temporary server for each ranking by text, over the same data."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import akin
from akin.filters import exists

from service.cli.connection import ConnectionOptions, open_client
from service.cli.evaluation_calls import compare_latencies, list_user_queries, recommend_to_all
from service.cli.evaluation_cold import measure_cold_items, measure_cold_people
from service.cli.evaluation_errors import EvaluationError
from service.cli.evaluation_input import EvaluationInput
from service.cli.evaluation_results import (
    ColdItems,
    ColdPeople,
    Evaluation,
    Latency,
    LearnedSummary,
    LikeStatistics,
    PersonResult,
    StrategyMetrics,
)
from service.cli.evaluation_splits import shuffle_order
from service.cli.evaluation_store import store_interactions, store_items, wait_for_model
from service.cli.temporary_server import run_temporary_server

# The ranking by text that behavior is blended with.
DEFAULT_RANKING = "pooled"

# Strategies that need what is learned from likes, and how the server is to use it.
LEARNED_STRATEGIES = {
    "popular": akin.SignalMode.SIGNAL_MODE_AUTO,
    "behavior": akin.SignalMode.SIGNAL_MODE_BEHAVIOR,
    "auto": akin.SignalMode.SIGNAL_MODE_AUTO,
}
SHUFFLED = "auto, order shuffled"
SHUFFLED_CATALOG = "shuffled"


@dataclass(frozen=True, slots=True)
class EvaluationPlan:
    """What to measure.

    Attributes:
        strategies: rankings by text, and names of LEARNED_STRATEGIES.
        prior_attribute: attribute of one more ranking by text; None for none.
        shuffles: measure `auto` also with the lists in a random order.
        with_cold: measure people and items of which little is known.
    """

    strategies: Sequence[str]
    prior_attribute: str | None = None
    shuffles: bool = False
    with_cold: bool = False

    def list_text_rankings(self) -> Mapping[str, Mapping[str, str]]:
        """Return the settings of the servers by name, that of the default ranking first."""
        names = [name for name in self.strategies if name not in LEARNED_STRATEGIES]
        if len(names) < len(self.strategies) or self.shuffles or self.with_cold:
            names.append(DEFAULT_RANKING)
        names.sort(key=lambda name: name != DEFAULT_RANKING)
        servers = {name: {"ranking": name, "prior_attribute": ""} for name in names}
        if self.prior_attribute is not None:
            servers[f"{DEFAULT_RANKING}+{self.prior_attribute}"] = {
                "ranking": DEFAULT_RANKING,
                "prior_attribute": self.prior_attribute,
            }
        return servers


@dataclass
class _Measurements:
    """What is measured so far; results are by strategy, in the order of the people."""

    results: dict[str, Sequence[PersonResult]] = field(default_factory=dict)
    latencies: tuple[Latency, Latency] | None = None
    learned: LearnedSummary | None = None
    cold_people: Sequence[ColdPeople] = ()
    cold_items: Sequence[ColdItems] = ()


def run_evaluation(data: EvaluationInput, plan: EvaluationPlan) -> Evaluation:
    """Measure strategies, one after another, because a data folder has one server at a time.

    Raises:
        EvaluationError: the server rejects an item or an interaction, or no item has the attribute.
    """
    measured = _Measurements()
    with tempfile.TemporaryDirectory(prefix="akin-evaluate-") as folder:
        for name, settings in plan.list_text_rankings().items():
            with (
                run_temporary_server(folder, signals="text", **settings) as address,
                open_client(address, ConnectionOptions()) as client,
            ):
                if measured.latencies is None:
                    store_items(client, data, "items")
                    _require_attribute(client, plan.prior_attribute)
                    store_interactions(client, data, data.likes, "likes")
                queries = list_user_queries(data.people)
                measured.results[name] = recommend_to_all(client, name, queries)
                if name == DEFAULT_RANKING:
                    _measure_learned(client, address, data, plan, measured)
                if measured.latencies is None:
                    measured.latencies = compare_latencies(client, data)
    return _summarize(data, plan, measured)


def _measure_learned(
    client: akin.Client,
    address: str,
    data: EvaluationInput,
    plan: EvaluationPlan,
    measured: _Measurements,
) -> None:
    """Measure what needs the likes of all people, with the server of the default ranking."""
    strategies = [name for name in plan.strategies if name in LEARNED_STRATEGIES]
    if strategies or plan.with_cold:
        measured.learned = LearnedSummary.from_model(wait_for_model(client, "learning from likes"))
    for name in strategies:
        client.update_catalog(signals=LEARNED_STRATEGIES[name])
        queries = list_user_queries(data.people, popular=name == "popular")
        measured.results[name] = recommend_to_all(client, name, queries)
    if plan.with_cold:
        measured.cold_people = measure_cold_people(client, data.people)
    client.update_catalog(signals=akin.SignalMode.SIGNAL_MODE_TEXT)
    if plan.shuffles:
        measured.results[SHUFFLED] = _measure_shuffled(client, address, data)
    if plan.with_cold:
        measured.cold_items = measure_cold_items(client, address, data)


def _measure_shuffled(
    client: akin.Client, address: str, data: EvaluationInput
) -> Sequence[PersonResult]:
    """Recommend from lists in a random order, which the server also learned from."""
    client.create_catalog(SHUFFLED_CATALOG, signals=akin.SignalMode.SIGNAL_MODE_TEXT)
    with open_client(address, ConnectionOptions(SHUFFLED_CATALOG)) as shuffled:
        store_items(shuffled, data, "items, to shuffle the lists")
        store_interactions(shuffled, data, shuffle_order(data.likes), "likes, shuffled")
        wait_for_model(shuffled, "learning from shuffled likes")
        return recommend_to_all(shuffled, SHUFFLED, list_user_queries(data.people))


def _require_attribute(client: akin.Client, name: str | None) -> None:
    if name is not None and not client.list_items(1, where=exists(name)).total_size:
        raise EvaluationError(f"no item has the attribute {name}")


def _summarize(data: EvaluationInput, plan: EvaluationPlan, measured: _Measurements) -> Evaluation:
    assert measured.latencies is not None  # noqa: S101  (there is at least one server)
    item, user = measured.latencies
    counts = Counter(like.item_id for likes in data.likes.values() for like in likes)
    statistics = LikeStatistics(len(data.item_ids), counts, len(data.likes))
    text_results = measured.results.get(DEFAULT_RANKING)
    return Evaluation(
        people=len(data.people),
        items=len(data.item_ids),
        split=data.split,
        strategies=[
            StrategyMetrics.from_results(
                name,
                measured.results[name],
                statistics,
                None if name == DEFAULT_RANKING else text_results,
            )
            for name in _order_names(plan.strategies, measured.results)
        ],
        item_query_ms=item,
        user_with_50_likes_ms=user,
        p95_ratio=round(user.p95 / item.p95, 3),
        learned=measured.learned,
        cold_people=measured.cold_people,
        cold_items=measured.cold_items,
    )


def _order_names(strategies: Sequence[str], measured: Iterable[str]) -> list[str]:
    """Return the measured strategies as they were requested; others follow or come first."""
    order = {name: place for place, name in enumerate(strategies)}
    first = -1
    return sorted(
        measured,
        key=lambda name: order.get(name, first if name == DEFAULT_RANKING else len(order)),
    )
