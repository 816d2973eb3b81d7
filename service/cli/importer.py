"""Import of rows, for the commands that store items, users and interactions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import NamedTuple

import akin
from rich.progress import Progress

from service.cli import console
from service.cli.formats.rows import FileError, LineError, Row
from service.cli.import_failures import Failure, ImportFailures
from service.cli.import_lines import parse_line, to_message
from service.cli.import_stream import ImportStream
from service.cli.interaction_stream import InteractionBatch, send_interactions

# Without a progress bar, a line is printed after this many items.
ITEMS_PER_PROGRESS_LINE = 1_000

# The same for interactions, which are stored much faster.
INTERACTIONS_PER_PROGRESS_LINE = 100_000

# Reason of a line that is not sent to the server because it is no item, user or interaction.
INVALID_LINE = "INVALID_LINE"


@dataclass
class ImportSummary:
    """Result of an import.

    Attributes:
        items: number of stored items, or of valid items in a dry run.
        pending: number of those items that were pending when they were stored.
        users: number of stored users, or of valid users in a dry run.
        interactions: number of recorded interactions, or of valid interactions in a dry run.
        duplicate_interactions: number of interactions that were recorded before.
        embedded_texts: number of texts that the model embedded, or would embed after a dry run.
        reused_texts: number of texts that already had vectors.
        prompt_tokens: tokens that the provider counted, or their estimate in a dry run.
        cost_usd: amount that the provider charged, or its estimate in a dry run.
        seconds: duration of the import.
        file_error: why the rest of the file could not be read; empty if all of it was.
        failures: lines that were not stored.
    """

    items: int = 0
    pending: int = 0
    users: int = 0
    interactions: int = 0
    duplicate_interactions: int = 0
    embedded_texts: int = 0
    reused_texts: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    file_error: str = ""
    failures: ImportFailures = field(default_factory=ImportFailures)

    def to_dict(self) -> dict[str, object]:
        """Return the summary as JSON values."""
        return {
            **vars(self),
            "failures": [failure._asdict() for failure in self.failures],
            "further_failures": [further._asdict() for further in self.failures.further()],
        }


class _Streams(NamedTuple):
    """A stream for each kind of resource."""

    items: ImportStream[akin.Item, akin.ImportItemsResponse]
    users: ImportStream[akin.User, akin.ImportUsersResponse]
    interactions: ImportStream[akin.Interaction, InteractionBatch]

    def put(self, number: int, message: akin.Item | akin.User | akin.Interaction) -> None:
        """Send the message of a line."""
        if isinstance(message, akin.Interaction):
            self.interactions.put(number, message)
        elif isinstance(message, akin.Item):
            self.items.put(number, message, message.ByteSize())
        else:
            self.users.put(number, message, message.ByteSize())


class Importer:
    """Stores the items, users and interactions of a file.

    `summary` is the result so far. Each kind has a stream, and is stored in the order of its lines.
    An invalid line is reported and does not affect the others.

    Args:
        client: client of the server.
        bar: progress bar of `console.show_bytes`.
        dry_run: validate the lines and estimate the usage; store nothing.
        ignore_unknown: ignore fields that neither items nor users have.
    """

    def __init__(
        self,
        client: akin.Client,
        bar: Progress,
        *,
        dry_run: bool = False,
        ignore_unknown: bool = False,
    ) -> None:
        self._client = client
        self._bar = bar
        self._dry_run = dry_run
        self._ignore_unknown = ignore_unknown
        self.summary = ImportSummary()
        # The threads of the streams change the summary.
        self._lock = threading.Lock()

    def run(self, rows: Iterable[Row]) -> ImportSummary:
        """Store the items, users and interactions of all rows.

        Interactions are messages already, and items and users are JSON objects. If the rows end
        with a FileError, those before it are stored.

        Raises:
            AkinError: a stream ended with an error, for example because the server stopped.
        """
        start = time.monotonic()
        try:
            self._run(rows)
        finally:
            self.summary.seconds = round(time.monotonic() - start, 3)
        return self.summary

    def _run(self, rows: Iterable[Row]) -> None:
        ends: SimpleQueue[BaseException | None] = SimpleQueue()

        def end() -> None:
            ends.put(None)

        with ThreadPoolExecutor(len(_Streams._fields)) as executor:
            streams = self._open_streams(executor, end)

            def read() -> None:
                try:
                    self._read(rows, streams)
                except BaseException as exc:  # noqa: BLE001  (raised in the thread of the caller)
                    ends.put(exc)
                else:
                    end()

            # A pipe can block although a stream has failed. The thread ends with the process then.
            threading.Thread(target=read, name="akin-import", daemon=True).start()
            try:
                with _close_if_interrupted(self._client):
                    if (failure := ends.get()) is not None:
                        raise failure
            except FileError as exc:
                self.summary.file_error = str(exc)
            finally:
                for stream in streams:
                    stream.close()
            with _close_if_interrupted(self._client):
                for stream in streams:
                    stream.wait()

    def _open_streams(self, executor: Executor, on_failure: Callable[[], None]) -> _Streams:
        client, dry_run = self._client, self._dry_run
        send_items = partial(client.import_item_batches, validate_only=dry_run)
        send_users = partial(client.import_user_batches, validate_only=dry_run)
        send_all = partial(send_interactions, client, dry_run=dry_run)
        return _Streams(
            ImportStream(executor, send_items, self._add_items, on_failure),
            ImportStream(executor, send_users, self._add_users, on_failure),
            ImportStream(executor, send_all, self._add_interactions, on_failure),
        )

    def _read(self, rows: Iterable[Row], streams: _Streams) -> None:
        """Put the messages of the rows into their streams, until a stream has failed."""
        for number, value in rows:
            if any(stream.has_failed() for stream in streams):
                return
            if isinstance(value, akin.Interaction):
                streams.put(number, value)
                continue
            try:
                if isinstance(value, LineError):
                    raise value
                message = to_message(parse_line(value, ignore_unknown=self._ignore_unknown))
            except LineError as exc:
                self.summary.failures.add(Failure(number, INVALID_LINE, str(exc)))
                continue
            streams.put(number, message)

    def _add_items(self, batch: akin.ImportItemsResponse, line_numbers: Sequence[int]) -> None:
        self._add_usage(batch.usage)
        for number, result in zip(line_numbers, batch.results, strict=True):
            if result.code:
                self.summary.failures.add(Failure(number, result.reason, result.message))
                continue
            self.summary.items += 1
            self.summary.pending += result.state == akin.ItemState.ITEM_STATE_PENDING
            self._show_progress()
            if self._bar.disable and self.summary.items % ITEMS_PER_PROGRESS_LINE == 0:
                console.err.print(f"{self.summary.items} items stored")

    def _add_users(self, batch: akin.ImportUsersResponse, line_numbers: Sequence[int]) -> None:
        self._add_usage(batch.usage)
        for number, result in zip(line_numbers, batch.results, strict=True):
            if result.code:
                self.summary.failures.add(Failure(number, result.reason, result.message))
            else:
                self.summary.users += 1

    def _add_interactions(self, batch: InteractionBatch, line_numbers: Sequence[int]) -> None:
        for number, failure in zip(line_numbers, batch.results, strict=True):
            if failure is not None:
                self.summary.failures.add(Failure(number, failure.reason, failure.message))
        before = self._count_interactions()
        self.summary.interactions += batch.recorded_count
        self.summary.duplicate_interactions += batch.duplicate_count
        self._show_progress()
        done = self._count_interactions()
        distance = INTERACTIONS_PER_PROGRESS_LINE
        if self._bar.disable and before // distance < done // distance:
            console.err.print(f"{done} interactions stored")

    def _count_interactions(self) -> int:
        return self.summary.interactions + self.summary.duplicate_interactions

    def _show_progress(self) -> None:
        done = self.summary.items + self.summary.users + self._count_interactions()
        self._bar.update(self._bar.task_ids[0], done=done)

    def _add_usage(self, usage: akin.EmbeddingUsage) -> None:
        with self._lock:
            new_texts = usage.text_count - usage.cached_text_count
            self.summary.embedded_texts += new_texts if self._dry_run else usage.embedded_text_count
            self.summary.reused_texts += usage.cached_text_count
            self.summary.prompt_tokens += usage.prompt_token_count
            self.summary.cost_usd += usage.cost_usd


@contextmanager
def _close_if_interrupted(client: akin.Client) -> Iterator[None]:
    """After Ctrl-C, end the streams, for whose threads the executor waits."""
    try:
        yield
    except KeyboardInterrupt:
        client.close()
        raise
