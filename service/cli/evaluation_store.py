"""Fills the catalogs of an evaluation, and waits until the server has learned from them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager

import akin
from rich.markup import escape
from rich.progress import Progress

from service.cli import console
from service.cli.analysis_output import format_count
from service.cli.evaluation_errors import EvaluationError, InvalidLines
from service.cli.evaluation_input import EvaluationInput
from service.cli.evaluation_splits import Element, LikeLists
from service.cli.formats.detection import open_records
from service.cli.formats.rows import Row
from service.cli.importer import Importer
from service.domain.printable import to_line

_SECONDS_PER_HOUR = 3_600.0

# A million items take 45 minutes.
TRAINING_SECONDS = 2 * _SECONDS_PER_HOUR

# The interval at which the server is asked whether it is done.
TRAINING_POLL_SECONDS = 0.2


def store_items(
    client: akin.Client,
    data: EvaluationInput,
    title: str,
    is_included: Callable[[str], bool] = lambda _: True,
) -> None:
    """Store the items, or those with some ids.

    Raises:
        EvaluationError: the server rejects items.
    """
    with console.show_bytes(title, data.items.stat().st_size) as bar:
        records = open_records(str(data.items), lambda count: bar.advance(bar.task_ids[0], count))
        summary = Importer(client, bar).run(_select_rows(records.rows, is_included))
    rejected = InvalidLines(data.items)
    for failure in summary.failures:
        rejected.add(failure.line, f"{failure.reason}: {failure.message}")
    rejected.count = len(summary.failures)
    rejected.check()
    if summary.pending:
        reasons = "; ".join(
            f"{format_count(pending.item_count, 'item')}: {pending.reason}: {pending.message}"
            for pending in client.get_catalog().pending_items
        )
        console.exit_with_error(f"items are pending: {reasons}", command="akin evaluate")


def store_interactions(
    client: akin.Client, data: EvaluationInput, likes: LikeLists, title: str
) -> None:
    """Store likes, and the other visible interactions.

    Raises:
        EvaluationError: the server rejects an interaction.
    """
    with show_wait(title):
        for response in client.import_interactions(_build_interactions(data, likes)):
            for failure in response.failures:
                raise EvaluationError(f"an interaction was rejected: {failure.message}")


def wait_for_model(client: akin.Client, title: str) -> akin.BehaviorModel:
    """Let the server learn from all interactions, and return what it learned.

    Nothing is learned before, because a model that begins while interactions arrive misses some.
    """
    client.update_catalog(signals=akin.SignalMode.SIGNAL_MODE_AUTO)

    def is_trained() -> bool:
        response = client.recommend_similar(popular=akin.Popular(), limit=1)
        return response.signals.HasField("model_time")

    if not wait_until(is_trained, title, TRAINING_SECONDS):
        hours = f"{TRAINING_SECONDS / _SECONDS_PER_HOUR:g} hours"
        console.exit_with_error(f"{title}: not done after {hours}", command="akin evaluate")
    return client.get_catalog().behavior_model


def wait_until(is_done: Callable[[], bool], title: str, seconds: float) -> bool:
    """Wait for the server; return False if it is not done in time."""
    deadline = time.monotonic() + seconds
    with show_wait(title):
        while not is_done():
            if time.monotonic() > deadline:
                return False
            time.sleep(TRAINING_POLL_SECONDS)
    return True


@contextmanager
def show_wait(title: str) -> Iterator[None]:
    """Show a spinner on a terminal, or one line."""
    if not console.is_progress_visible():
        console.err.print(title)
    with console.show_spinner(title):
        yield


def show_progress(values: Collection[Element], title: str) -> Iterator[Element]:
    """Yield the values, with a bar on a terminal that is drawn between calls, or with one line."""
    visible = console.is_progress_visible()
    if not visible:
        console.err.print(f"{title}: {len(values)}")
    with Progress(console=console.err, auto_refresh=False, disable=not visible) as bar:
        yield from bar.track(values, description=escape(to_line(title)))


def _select_rows(rows: Iterable[Row], is_included: Callable[[str], bool]) -> Iterator[Row]:
    for row in rows:
        if not isinstance(row.value, dict) or is_included(str(row.value.get("id"))):
            yield row


def _build_interactions(data: EvaluationInput, likes: LikeLists) -> Iterator[akin.Interaction]:
    for user_id, person_likes in likes.items():
        for item_id, time_us, type_ in person_likes:
            yield _build_interaction(user_id, item_id, time_us, type_)
    for interaction in data.others:
        yield _build_interaction(*interaction)


def _build_interaction(user_id: str, item_id: str, time_us: int, type_: str) -> akin.Interaction:
    interaction = akin.Interaction(user_id=user_id, item_id=item_id, type=type_)
    interaction.time.FromMicroseconds(time_us)
    return interaction
