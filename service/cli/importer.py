"""Import of JSONL lines, for the commands that store items and users."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import akin
from rich.progress import Progress

from service.cli import console
from service.cli.import_lines import ItemLine, LineError, parse_line
from service.cli.import_stream import ImportStream

# Without a progress bar, a line is printed after this many items.
ITEMS_PER_PROGRESS_LINE = 1_000

# Reason of a line that is not sent to the server because it is no item or user.
INVALID_LINE = "INVALID_LINE"


class Failure(NamedTuple):
    """A line that was not stored; `reason` is INVALID_LINE or an ErrorInfo reason."""

    line: int
    reason: str
    message: str

    def __str__(self) -> str:
        """Return the failure as one line of text."""
        return f"line {self.line}: {self.reason}: {self.message}"


@dataclass
class ImportSummary:
    """Result of an import.

    Attributes:
        items: number of stored items, or of valid items in a dry run.
        pending: number of those items that are pending.
        users: number of stored users, or of valid users in a dry run.
        new_texts: number of texts that had no vector yet.
        prompt_tokens: tokens that the provider counted, or their estimate in a dry run.
        cost_usd: amount that the provider charged, or its estimate in a dry run.
        seconds: duration of the import.
        failures: lines that were not stored, in order.
    """

    items: int = 0
    pending: int = 0
    users: int = 0
    new_texts: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)


class Importer:
    """Stores the items and users of JSONL lines.

    Items and users have a stream each: items are stored in the order of their lines, and so are
    users. An invalid line is reported and does not affect the others.

    Args:
        client: client of the server.
        bar: progress bar of `console.show_bytes`.
        dry_run: validate the lines and estimate the usage; store nothing.
    """

    def __init__(self, client: akin.Client, bar: Progress, *, dry_run: bool = False) -> None:
        self._client = client
        self._bar = bar
        self._dry_run = dry_run
        self._summary = ImportSummary()
        # The threads of both streams change the summary.
        self._lock = threading.Lock()

    def run(self, lines: Iterable[bytes]) -> ImportSummary:
        """Store the items and users of all lines.

        Raises:
            AkinError: a stream ended with an error, for example because the server stopped.
        """
        start = time.monotonic()
        client, dry_run = self._client, self._dry_run
        with ThreadPoolExecutor(2) as executor:
            items = ImportStream(
                executor,
                partial(client.import_item_batches, validate_only=dry_run),
                self._add_items,
            )
            users = ImportStream(
                executor,
                partial(client.import_user_batches, validate_only=dry_run),
                self._add_users,
            )
            try:
                with _close_if_interrupted(client):
                    self._read(lines, items, users)
            finally:
                items.close()
                users.close()
            with _close_if_interrupted(client):
                items.wait()
                users.wait()
        self._summary.failures.sort()
        self._summary.seconds = round(time.monotonic() - start, 3)
        return self._summary

    def _read(
        self,
        lines: Iterable[bytes],
        items: ImportStream[akin.Item, akin.ImportItemsResponse],
        users: ImportStream[akin.User, akin.ImportUsersResponse],
    ) -> None:
        """Put the items and users of the lines into their streams, until a stream has failed."""
        for number, line in enumerate(lines, start=1):
            if items.has_failed() or users.has_failed():
                return
            self._bar.advance(self._bar.task_ids[0], len(line))
            if not line.strip():
                continue
            try:
                parsed = parse_line(line)
                if isinstance(parsed, ItemLine):
                    items.put(number, parsed.to_message())
                else:
                    users.put(number, parsed.to_message())
            except (LineError, ValueError) as exc:
                self._add_failure(Failure(number, INVALID_LINE, str(exc)))

    def _add_items(self, batch: akin.ImportItemsResponse, line_numbers: Sequence[int]) -> None:
        self._add_usage(batch.usage)
        for number, result in zip(line_numbers, batch.results, strict=True):
            if result.code:
                self._add_failure(Failure(number, result.reason, result.message))
                continue
            self._summary.items += 1
            self._summary.pending += result.state == akin.ItemState.ITEM_STATE_PENDING
            self._bar.update(self._bar.task_ids[0], done=self._summary.items)
            if self._bar.disable and self._summary.items % ITEMS_PER_PROGRESS_LINE == 0:
                console.err.print(f"{self._summary.items} items stored")

    def _add_users(self, batch: akin.ImportUsersResponse, line_numbers: Sequence[int]) -> None:
        self._add_usage(batch.usage)
        for number, result in zip(line_numbers, batch.results, strict=True):
            if result.code:
                self._add_failure(Failure(number, result.reason, result.message))
            else:
                self._summary.users += 1

    def _add_usage(self, usage: akin.EmbeddingUsage) -> None:
        with self._lock:
            self._summary.new_texts += usage.text_count - usage.cached_text_count
            self._summary.prompt_tokens += usage.prompt_token_count
            self._summary.cost_usd += usage.cost_usd

    def _add_failure(self, failure: Failure) -> None:
        with self._lock:
            self._summary.failures.append(failure)


@contextmanager
def _close_if_interrupted(client: akin.Client) -> Iterator[None]:
    """After Ctrl-C, end the streams, for whose threads the executor waits."""
    try:
        yield
    except KeyboardInterrupt:
        client.close()
        raise
