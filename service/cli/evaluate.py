"""`akin evaluate`: how good and how fast recommendations are, through real servers."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated, TypeVar, get_args

import akin
import typer
from akin.filters import exists
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.progress import Progress
from rich.table import Table

from service.cli import console
from service.cli.evaluation import LIMIT, Answer, Evaluation, StrategyFigures, Times, spread
from service.cli.import_ import Importer
from service.cli.import_lines import ItemLine, LineError, parse
from service.cli.plotting import charts, pictures
from service.cli.temporary_server import temporary_server
from service.domain.users import LikedItem, User
from service.domain.validation import user_violations
from service.settings import RankingName

T = TypeVar("T")

STRATEGIES: Sequence[str] = get_args(RankingName)
NAMES = " or ".join(STRATEGIES)

COMPARED_CALLS = 200
COMPARED_LIKES = 50
WARM_CALLS = 5
"""Calls of each kind before any is timed."""


class Unusable(Exception):
    """What the command was given cannot be evaluated; the message says why."""


class PersonLine(BaseModel):
    """A person to recommend to: what they liked, and what they liked that nobody is told."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)

    user_id: str
    liked: Annotated[list[str], Field(min_length=1)]
    held_out: frozenset[str]

    def user(self) -> User:
        """The person as the domain knows them."""
        return User(self.user_id, liked_items=tuple(LikedItem(each) for each in self.liked))


@dataclass(frozen=True, slots=True)
class Material:
    """What to evaluate on: a file of items, their ids, and people."""

    items: Path
    item_ids: Sequence[str]
    people: Sequence[PersonLine]


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the table, and the settings of its server."""

    name: str
    settings: Mapping[str, str]


def _known(names: list[str] | None) -> list[str] | None:
    """Ends the command for a strategy that there is not."""
    for name in names or ():
        if name not in STRATEGIES:
            raise typer.BadParameter(f"{name} is not {NAMES}")
    return names


def evaluate(
    items: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Items, JSONL as for akin import.")
    ],
    users: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="People with held-out items, JSONL.")
    ],
    strategy: Annotated[
        list[str] | None,
        typer.Option(callback=_known, help=f"Only {NAMES}; may be repeated."),
    ] = None,
    prior_attribute: Annotated[
        str | None, typer.Option(help="Also pooled with this as AKIN_PRIOR_ATTRIBUTE.")
    ] = None,
    plot: pictures.Plot = None,
    as_json: console.AsJson = False,
) -> None:
    """Measure how well each ranking strategy finds what people like, and how fast.

    Users: {"user_id", "liked": [ids, oldest first], "held_out": [ids]}. Each person is recommended
    20 items from what they liked; what was held out should be among them. Temporary servers do it,
    with your settings of the embedder; all texts are embedded once.
    """
    chosen = strategy or STRATEGIES
    try:
        if plot is not None:
            pictures.check(plot)
        material = Material(items, _read_items(items), _read_people(users))
        evaluation = _evaluated(material, _variants(chosen, prior_attribute), prior_attribute)
        if as_json:
            console.print_json(asdict(evaluation))
        else:
            _print(evaluation)
        if plot is not None:
            charts.draw(plot, evaluation)
    except (Unusable, pictures.CannotDraw) as exc:
        typer.echo(f"akin evaluate: {exc}", err=True)
        raise typer.Exit(2) from None


def _variants(strategies: Iterable[str], prior_attribute: str | None) -> list[Variant]:
    variants = [
        Variant(name, {"ranking": name, "prior_attribute": ""})
        for name in dict.fromkeys(strategies)
    ]
    if prior_attribute is not None:
        settings = {"ranking": "pooled", "prior_attribute": prior_attribute}
        variants.append(Variant(f"pooled+{prior_attribute}", settings))
    return variants


def _evaluated(
    material: Material, variants: Sequence[Variant], prior_attribute: str | None
) -> Evaluation:
    """Runs one server after another over the same data, for only one may use it at a time."""
    compared = next((each for each in variants if each.name == "pooled"), variants[0])
    strategies: list[StrategyFigures] = []
    with tempfile.TemporaryDirectory(prefix="akin-evaluate-") as folder:
        for variant in variants:
            with (
                temporary_server(folder, **variant.settings) as address,
                console.connected(address) as client,
            ):
                if not strategies:
                    _fill(client, material)
                    _require_attribute(client, prior_attribute)
                answers = _answers(client, variant.name, material.people)
                strategies.append(StrategyFigures.of(variant.name, answers, len(material.item_ids)))
                if variant is compared:
                    of_item, of_user = _compared_times(client, material)
    return Evaluation(
        people=len(material.people),
        items=len(material.item_ids),
        strategies=strategies,
        item_query_ms=of_item,
        user_with_50_likes_ms=of_user,
        p95_ratio=round(of_user.p95 / of_item.p95, 3),
    )


def _fill(client: akin.Client, material: Material) -> None:
    size = material.items.stat().st_size
    with console.progress("items", size) as bar, material.items.open("rb") as lines:
        outcome = Importer(client, bar).run(lines)
    for number, problem in outcome.failures:
        raise Unusable(f"{material.items}, line {number}: {problem}")
    if outcome.pending:
        for each in client.get_catalog().pending:
            typer.echo(f"akin: {each.count} items have no vectors: {each.reason}", err=True)
        raise typer.Exit(1)
    for person in _watched(material.people, "people"):
        client.upsert_user(person.user_id, liked_items=person.liked)


def _require_attribute(client: akin.Client, name: str | None) -> None:
    if name is not None and not client.list_items(1, where=exists(name)).total_size:
        raise Unusable(f"no item has an attribute {name}")


def _answers(client: akin.Client, strategy: str, people: Sequence[PersonLine]) -> Sequence[Answer]:
    """Asks for everybody in turn, one at a time."""
    for person in people[:WARM_CALLS]:
        _timed(client, user_id=person.user_id)
    answers = []
    for person in _watched(people, strategy):
        seconds, ids = _timed(client, user_id=person.user_id)
        answers.append(Answer(ids, person.held_out, seconds))
    return answers


def _compared_times(client: akin.Client, material: Material) -> tuple[Times, Times]:
    """Times of calls for an item, and for a user with 50 likes; in turns, so noise hits both."""
    likes = [
        each.liked[-COMPARED_LIKES:]
        for each in material.people
        if len(each.liked) >= COMPARED_LIKES
    ] or [spread(material.item_ids, COMPARED_LIKES)]
    user_ids = [f"akin-evaluate/{number}" for number in range(len(likes))]
    for user_id, liked in zip(user_ids, likes, strict=True):
        client.upsert_user(user_id, liked_items=liked)
    item_ids = spread(material.item_ids, COMPARED_CALLS)
    both = zip(cycle(item_ids), cycle(user_ids), strict=False)
    pairs = list(islice(both, COMPARED_CALLS))
    for item_id, user_id in pairs[:WARM_CALLS]:
        _timed(client, item_id=item_id)
        _timed(client, user_id=user_id)
    of_items, of_users = [], []
    for item_id, user_id in _watched(pairs, "an item against 50 likes"):
        of_items.append(_timed(client, item_id=item_id)[0])
        of_users.append(_timed(client, user_id=user_id)[0])
    return Times.of(of_items), Times.of(of_users)


def _timed(
    client: akin.Client, *, item_id: str | None = None, user_id: str | None = None
) -> tuple[float, Sequence[str]]:
    """The seconds that a call took, and the ids that it recommended."""
    started = time.perf_counter()
    response = client.recommend_similar(item_id=item_id, user_id=user_id, limit=LIMIT)
    seconds = time.perf_counter() - started
    return seconds, [each.item_id for each in response.recommendations]


def _watched(values: Sequence[T], title: str) -> Iterator[T]:
    """Tells how far it is: a bar on a terminal, drawn between calls; a line elsewhere."""
    shown = sys.stderr.isatty()
    if not shown:
        console.err.print(f"{title}: {len(values)}")
    with Progress(console=console.err, auto_refresh=False, disable=not shown) as bar:
        yield from bar.track(values, description=title)


def _read_items(path: Path) -> Sequence[str]:
    ids: dict[str, None] = {}
    for number, line in _lines(path):
        try:
            parsed = parse(line)
        except LineError as exc:
            raise Unusable(f"{path}, line {number}: {exc}") from None
        if not isinstance(parsed, ItemLine):
            raise Unusable(f"{path}, line {number}: not an item")
        ids[parsed.id] = None
    if not ids:
        raise Unusable(f"{path} has no items")
    return list(ids)


def _read_people(path: Path) -> Sequence[PersonLine]:
    people: dict[str, PersonLine] = {}
    for number, line in _lines(path):
        try:
            person = PersonLine.model_validate_json(line)
        except ValidationError as exc:
            (first, *_) = exc.errors(include_input=False, include_url=False)
            place = "".join(f"{part}: " for part in first["loc"])
            raise Unusable(f"{path}, line {number}: {place}{first['msg']}") from None
        if person.user_id in people:
            raise Unusable(f"{path}, line {number}: user_id: {person.user_id} was there before")
        for problem in user_violations(person.user(), "user"):
            raise Unusable(f"{path}, line {number}: {problem.field}: {problem.description}")
        people[person.user_id] = person
    if not any(person.held_out for person in people.values()):
        raise Unusable(f"{path} has nobody with held-out items")
    return list(people.values())


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield number, line


def _print(evaluation: Evaluation) -> None:
    title = f"{evaluation.people} people, {evaluation.items} items"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("strategy", overflow="fold")
    for name in ("recall@20", "nDCG@20", "hit rate@20", "coverage@10", "p50 ms", "p95 ms"):
        table.add_column(name, justify="right")
    for each in evaluation.strategies:
        quality = (each.recall_at_20, each.ndcg_at_20, each.hit_rate_at_20, each.coverage_at_10)
        table.add_row(
            each.strategy,
            *(f"{value:.4f}" for value in quality),
            f"{each.p50_ms:.2f}",
            f"{each.p95_ms:.2f}",
        )
    console.out.print(table)
    of_item, of_user = evaluation.item_query_ms, evaluation.user_with_50_likes_ms
    typer.echo(
        f"for an item: p50 {of_item.p50:.2f} ms, p95 {of_item.p95:.2f} ms; "
        f"for a user with 50 likes: p50 {of_user.p50:.2f} ms, p95 {of_user.p95:.2f} ms, "
        f"{evaluation.p95_ratio:.2f} times the item's p95"
    )
