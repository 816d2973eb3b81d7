"""Sends interactions to the server, with one result for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import akin


class InteractionBatch(NamedTuple):
    """A response of the server.

    Attributes:
        recorded_count: number of interactions that were recorded, or are valid in a dry run.
        duplicate_count: number of those that were recorded before.
        results: for each interaction that is answered, its failure or None, in order.
    """

    recorded_count: int
    duplicate_count: int
    results: Sequence[akin.InteractionFailure | None]


def send_interactions(
    client: akin.Client, interactions: Iterator[akin.Interaction], *, dry_run: bool
) -> Iterator[InteractionBatch]:
    """Record interactions, and yield a batch for each response.

    The responses to a dry run do not say how many interactions they answer. Then a batch ends with
    its last failure, and the last batch answers all others.
    """
    sent_count = answered_count = 0

    def count() -> Iterator[akin.Interaction]:
        nonlocal sent_count
        for interaction in interactions:
            sent_count += 1
            yield interaction

    for response in client.import_interactions(count(), validate_only=dry_run):
        failures = {failure.position: failure for failure in response.failures}
        stored_count = response.recorded_count + response.duplicate_count
        if dry_run:
            end = max(failures, default=answered_count - 1) + 1
        else:
            end = answered_count + stored_count + len(failures)
        results = [failures.get(position) for position in range(answered_count, end)]
        answered_count = end
        recorded_count = results.count(None) if dry_run else response.recorded_count
        yield InteractionBatch(recorded_count, response.duplicate_count, results)
    if dry_run:
        rest_count = sent_count - answered_count
        yield InteractionBatch(rest_count, 0, [None] * rest_count)
