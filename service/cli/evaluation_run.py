"""Runs an evaluation: one temporary server for each strategy, over the same data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TypeVar

import akin
from akin.filters import exists
from rich.markup import escape
from rich.progress import Progress

from service.cli import console
from service.cli.connection import open_client
from service.cli.evaluation_input import EvaluationError, EvaluationInput, PersonLine
from service.cli.evaluation_metrics import TOP, Evaluation, Latency, PersonResult, StrategyMetrics
from service.cli.formats.detection import open_records
from service.cli.importer import Importer
from service.cli.temporary_server import run_temporary_server
from service.domain.printable import to_line

Element = TypeVar("Element")

# Calls of each kind whose latencies are compared: 10 of them are above p95.
COMPARED_CALLS = 200

# Likes of the users whose latency is compared with that of an item; the JSON field names it.
COMPARED_LIKES = 50

# Calls of each kind before any is measured: the first ones load pages and caches.
WARM_UP_CALLS = 5


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the result, and the settings of its server."""

    name: str
    settings: Mapping[str, str]


def list_variants(strategies: Iterable[str], prior_attribute: str | None) -> list[Variant]:
    """Return a variant for each strategy, and one for `pooled` with a prior if there is one."""
    variants = [
        Variant(name, {"ranking": name, "prior_attribute": ""})
        for name in dict.fromkeys(strategies)
    ]
    if prior_attribute is not None:
        settings = {"ranking": "pooled", "prior_attribute": prior_attribute}
        variants.append(Variant(f"pooled+{prior_attribute}", settings))
    return variants


def run_evaluation(
    data: EvaluationInput, variants: Sequence[Variant], required_attribute: str | None
) -> Evaluation:
    """Measure the variants, one after another, because a data folder has one server at a time.

    Args:
        data: items and people.
        variants: the servers to measure; the latency of `pooled`, or of the first one, is compared.
        required_attribute: attribute that at least one item must have.

    Raises:
        EvaluationError: the server rejects an item, or no item has the attribute.
    """
    compared = next((variant for variant in variants if variant.name == "pooled"), variants[0])
    strategies: list[StrategyMetrics] = []
    with tempfile.TemporaryDirectory(prefix="akin-evaluate-") as folder:
        for variant in variants:
            with (
                run_temporary_server(folder, **variant.settings) as address,
                open_client(address) as client,
            ):
                if not strategies:
                    _store(client, data)
                    _require_attribute(client, required_attribute)
                results = _recommend_to_all(client, variant.name, data.people)
                strategies.append(
                    StrategyMetrics.from_results(variant.name, results, len(data.item_ids))
                )
                if variant is compared:
                    item_latency, user_latency = _compare_latencies(client, data)
    return Evaluation(
        people=len(data.people),
        items=len(data.item_ids),
        strategies=strategies,
        item_query_ms=item_latency,
        user_with_50_likes_ms=user_latency,
        p95_ratio=round(user_latency.p95 / item_latency.p95, 3),
    )


def choose_evenly(values: Sequence[Element], number: int) -> list[Element]:
    """Return `number` values at even distances, or all values if there are fewer."""
    number = min(number, len(values))
    return [values[position * len(values) // number] for position in range(number)]


def _store(client: akin.Client, data: EvaluationInput) -> None:
    with console.show_bytes("items", data.items.stat().st_size) as bar:
        records = open_records(str(data.items), lambda count: bar.advance(bar.task_ids[0], count))
        summary = Importer(client, bar).run(records.rows)
    for failure in summary.failures:
        raise EvaluationError(f"{data.items}, {failure}")
    if summary.pending:
        reasons = "; ".join(
            f"{pending.item_count} items: {pending.reason}: {pending.message}"
            for pending in client.get_catalog().pending_items
        )
        console.exit_with_error(f"items are pending: {reasons}", command="akin evaluate")
    for person in _show_progress(data.people, "people"):
        client.upsert_user(person.user_id, liked_items=person.liked)


def _require_attribute(client: akin.Client, name: str | None) -> None:
    if name is not None and not client.list_items(1, where=exists(name)).total_size:
        raise EvaluationError(f"no item has the attribute {name}")


def _recommend_to_all(
    client: akin.Client, strategy: str, people: Sequence[PersonLine]
) -> Sequence[PersonResult]:
    for person in people[:WARM_UP_CALLS]:
        _measure(client, user_id=person.user_id)
    results = []
    for person in _show_progress(people, strategy):
        seconds, item_ids = _measure(client, user_id=person.user_id)
        results.append(PersonResult(item_ids, person.held_out, seconds))
    return results


def _compare_latencies(client: akin.Client, data: EvaluationInput) -> tuple[Latency, Latency]:
    """Return the latency for an item and for a user with 50 likes.

    Both kinds of calls take turns, so that noise affects both.
    """
    likes = [
        person.liked[-COMPARED_LIKES:]
        for person in data.people
        if len(person.liked) >= COMPARED_LIKES
    ] or [choose_evenly(data.item_ids, COMPARED_LIKES)]
    user_ids = [f"akin-evaluate/{number}" for number in range(len(likes))]
    for user_id, liked in zip(user_ids, likes, strict=True):
        client.upsert_user(user_id, liked_items=liked)
    item_ids = choose_evenly(data.item_ids, COMPARED_CALLS)
    pairs = list(islice(zip(cycle(item_ids), cycle(user_ids), strict=False), COMPARED_CALLS))
    for item_id, user_id in pairs[:WARM_UP_CALLS]:
        _measure(client, item_id=item_id)
        _measure(client, user_id=user_id)
    item_seconds, user_seconds = [], []
    for item_id, user_id in _show_progress(pairs, "latency"):
        item_seconds.append(_measure(client, item_id=item_id)[0])
        user_seconds.append(_measure(client, user_id=user_id)[0])
    return Latency.from_seconds(item_seconds), Latency.from_seconds(user_seconds)


def _measure(
    client: akin.Client, *, item_id: str | None = None, user_id: str | None = None
) -> tuple[float, Sequence[str]]:
    """Return the duration of a call in seconds, and the recommended ids."""
    start = time.perf_counter()
    response = client.recommend_similar(item_id=item_id, user_id=user_id, limit=TOP)
    seconds = time.perf_counter() - start
    return seconds, [recommendation.item_id for recommendation in response.recommendations]


def _show_progress(values: Sequence[Element], title: str) -> Iterator[Element]:
    """Yield the values, with a bar on a terminal that is drawn between calls, or with one line."""
    visible = console.is_progress_visible()
    if not visible:
        console.err.print(f"{title}: {len(values)}")
    with Progress(console=console.err, auto_refresh=False, disable=not visible) as bar:
        yield from bar.track(values, description=escape(to_line(title)))
