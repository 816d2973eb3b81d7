"""`akin import`: items and users from JSONL into a server."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import akin
import typer
from rich.progress import Progress

from service.cli import console
from service.cli.import_lines import ItemLine, LineError, UserLine, parse

USERS_AT_ONCE = 8
USERS_AHEAD = 64
LINE_EVERY_ITEMS = 1_000
"""Where there is no progress bar, a line tells after so many items."""


@dataclass
class Outcome:
    """What became of an import; failures are (line number, why).

    `pending` of the items wait for their vectors. `new_texts` is how many texts needed a vector;
    tokens and dollars are the provider's, or with a dry run an estimate.
    """

    items: int = 0
    pending: int = 0
    users: int = 0
    new_texts: int = 0
    prompt_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)


class Importer:
    """Reads lines and stores what they say; a bad line fails alone."""

    def __init__(self, client: akin.Client, bar: Progress, *, dry_run: bool = False) -> None:
        self.outcome = Outcome()
        self._dry_run = dry_run
        self._client = client
        self._bar = bar
        self._numbers: deque[int] = deque()
        self._users: deque[tuple[int, Future[None]]] = deque()
        self._pool = ThreadPoolExecutor(USERS_AT_ONCE)

    def run(self, lines: Iterable[bytes]) -> Outcome:
        """Stores everything.

        Raises:
            AkinError: the server cannot be reached.
        """
        started = time.monotonic()
        with self._pool:
            for batch in self._client.import_item_batches(
                self._items(lines), validate_only=self._dry_run
            ):
                self._count(batch.usage)
                for result in batch.results:
                    self._note(result)
            self._finish_users(0)
        self.outcome.failures.sort()
        self.outcome.seconds = round(time.monotonic() - started, 3)
        return self.outcome

    def _items(self, lines: Iterable[bytes]) -> Iterator[akin.Item]:
        """The items among the lines; users are stored on the way."""
        for number, line in enumerate(lines, start=1):
            self._bar.advance(self._bar.task_ids[0], len(line))
            if not line.strip():
                continue
            try:
                parsed = parse(line)
                message = parsed.message() if isinstance(parsed, ItemLine) else None
            except (LineError, ValueError) as exc:
                self.outcome.failures.append((number, str(exc)))
                continue
            if isinstance(parsed, UserLine) and self._dry_run:
                self.outcome.users += 1
            elif isinstance(parsed, UserLine):
                self._users.append((number, self._pool.submit(parsed.upsert, self._client)))
                self._finish_users(USERS_AHEAD)
            elif message is not None:
                self._numbers.append(number)
                yield message

    def _count(self, usage: akin.EmbeddingUsage) -> None:
        self.outcome.new_texts += usage.texts - usage.cached_texts
        self.outcome.prompt_tokens += usage.prompt_tokens
        self.outcome.cost_usd += usage.cost_usd

    def _note(self, result: akin.ItemResult) -> None:
        number = self._numbers.popleft()
        if result.code:
            self.outcome.failures.append((number, result.message))
            return
        self.outcome.items += 1
        self.outcome.pending += result.state == akin.ItemState.ITEM_STATE_PENDING
        self._bar.update(self._bar.task_ids[0], done=self.outcome.items)
        if self._bar.disable and self.outcome.items % LINE_EVERY_ITEMS == 0:
            console.err.print(f"{self.outcome.items} items stored")

    def _finish_users(self, left: int) -> None:
        while len(self._users) > left:
            number, future = self._users.popleft()
            try:
                future.result()
                self.outcome.users += 1
            except akin.AkinError as exc:
                self.outcome.failures.append((number, exc.message))


def import_(
    file: Annotated[
        str, typer.Argument(help="A JSONL file, or - for standard input.", metavar="FILE")
    ],
    address: console.Address = console.DEFAULT_ADDRESS,
    as_json: console.AsJson = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Store nothing; estimate tokens and price of items.")
    ] = False,
) -> None:
    """Store items and users from a JSONL file.

    Items: {"id", "text", "attributes", "expire_time"}. Users: {"user_id", "preferences":
    [{"text", "weight"}], "liked": [ids]}. Bad lines are told by number and skipped; then the exit
    code is 1.
    """
    path = None if file == "-" else Path(file)
    if path is not None and not path.is_file():
        typer.echo(f"akin: there is no file {file}", err=True)
        raise typer.Exit(2)
    size = path.stat().st_size if path else None
    with console.connected(address) as client, console.progress("import", size) as bar:
        if path is None:
            outcome = Importer(client, bar, dry_run=dry_run).run(sys.stdin.buffer)
        else:
            with path.open("rb") as lines:
                outcome = Importer(client, bar, dry_run=dry_run).run(lines)
    report(outcome, as_json=as_json, dry_run=dry_run)
    if outcome.failures:
        raise typer.Exit(1)


def report(outcome: Outcome, *, as_json: bool, dry_run: bool = False) -> None:
    """Prints what became of an import."""
    if as_json:
        failures = [{"line": number, "error": error} for number, error in outcome.failures]
        console.print_json({**asdict(outcome), "failures": failures})
        return
    for number, error in outcome.failures:
        typer.echo(f"line {number}: {error}", err=True)
    failed = f"{len(outcome.failures)} lines failed"
    cost = f"{outcome.prompt_tokens} tokens, {outcome.cost_usd:.4f} US dollars"
    if dry_run:
        typer.echo(f"{outcome.items} items and {outcome.users} users are good, {failed}")
        typer.echo(f"{outcome.new_texts} texts are new: about {cost} (0: price not known, or free)")
        return
    stored = f"{outcome.items} items and {outcome.users} users stored"
    typer.echo(f"{stored} in {outcome.seconds:.1f} s, {failed}")
    if outcome.pending:
        typer.echo(f"{outcome.pending} items wait for their vectors: akin status tells why")
    if outcome.prompt_tokens:
        typer.echo(f"{outcome.new_texts} texts were new: {cost}")
