"""Power cuts: a server runs once under a journal, and the power fails at many points of it.

An acknowledgement belongs to the position that the journal had when it arrived. A cut behind that
position must keep the acknowledged state. A request that was sent before the cut, and acknowledged
behind it or never, may have been stored or not.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from faults import shim
from faults.comparison import compare
from faults.disk import Disk, Survival
from faults.journal import Kind, Record, read_journal
from faults.model import Key, Model, Violation
from faults.observation import check_index, observe_folder, observe_server
from faults.operators import find_vacuum, run_command
from faults.recorder import Event
from faults.server import FaultyServer, ServerEnded
from faults.session import ServerOptions, Session
from faults.writer import Stubs
from service import errors

DATA = "data"

Run = Callable[[Session], bool]

# States that writers write before each end of the server.
STATES = (300, 900)


@dataclass(frozen=True, slots=True)
class Cut:
    """A point of the journal, in bytes, and what survives of the changes that no sync covers."""

    position: int
    survival: Survival
    is_ordered: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """A journal, the disks before it, and the events of the writers beside it.

    `has_ended_in_order`: the server was not killed, so that the journal has all that it did.
    """

    root: Path
    journal: Path
    disks: Sequence[Disk]
    witness: Disk
    events: Sequence[Event]
    model: Model
    acknowledged_count: int
    workers: int
    has_ended_in_order: bool


@dataclass
class CutResults:
    """How many power cuts there were, the states compared after them, and what was broken."""

    cuts: int = 0
    states: int = 0
    violations: list[Violation] = field(default_factory=list)


class BlindShim(Exception):
    """The journal does not explain what is in the folder; the power cuts would prove nothing."""


def record(
    root: Path, library: Path, seed: str, workers: int, run: Run, *, syncs: bool
) -> Recording:
    """Record what a server and writers do.

    Args:
        root: an empty folder, or with the data folder in it.
        library: the compiled shim.
        seed: of what writers do.
        workers: of the server.
        run: has writers write, and ends the server; returns whether it ended in order.
        syncs: whether syncs work.
    """
    journal = root.parent / "journal"
    journal.touch()
    disks = [Disk(root, is_ordered=is_ordered) for is_ordered in (False, True, False)]
    variables = shim.make_journal_variables(library, root, journal, syncs=syncs)
    options = ServerOptions(workers, variables=variables)
    session = Session(root, seed, options, lambda: journal.stat().st_size)
    model = Model(catalogs=dict(session.recorder.model.catalogs))
    try:
        has_ended_in_order = run(session)
    finally:
        session.close()
    return Recording(
        root,
        journal,
        disks[:2],
        disks[2],
        session.recorder.copy_events(),
        model,
        session.recorder.acknowledged_count,
        workers,
        has_ended_in_order,
    )


def write_twice(session: Session, rng: random.Random) -> bool:
    """Run a server with writers, and again after its end; each time it is killed or stopped.

    A database whose server was stopped is vacuumed in half of the cases.
    """
    has_ended_in_order = False
    for is_last in (False, True):
        has_ended_in_order = rng.random() < 0.5
        end = session.server.stop if has_ended_in_order else session.server.kill
        session.run_round(rng.randint(*STATES), end)
        if has_ended_in_order and rng.random() < 0.5 and find_vacuum():
            run_command(session.folder, "vacuum", variables=session.options.variables)
        if not is_last:
            session.start_server()
    return has_ended_in_order


def choose_cuts(recording: Recording, count: int, rng: random.Random) -> list[Cut]:
    """Return cuts by position: behind acknowledgements, around syncs, and anywhere."""
    acknowledgements = [event.position for event in recording.events if not event.is_begin]
    records = [(record.end, record.kind) for record in read_journal(recording.journal)]
    syncs = [end for end, kind in records if kind in {Kind.SYNC_BEGIN, Kind.SYNC_END}]
    anywhere = [end for end, _kind in records]
    first = min(event.position for event in recording.events)
    # Most cuts come right behind an acknowledgement, when the most can be lost.
    choices = [acknowledgements, acknowledgements, syncs or anywhere, anywhere]
    positions = [max(first, rng.choice(rng.choice(choices))) for _ in range(count)]
    return make_cuts(positions, rng)


def make_cuts(positions: Iterable[int], rng: random.Random) -> list[Cut]:
    """Return a cut at each position, in order."""
    return [
        Cut(position, rng.choice(list(Survival)), rng.random() < 0.5)
        for position in sorted(positions)
    ]


def cut_power(recording: Recording, cuts: Sequence[Cut], rng: random.Random) -> Iterator[Path]:
    """Yield a folder with what survives each cut, which is removed after it."""
    records = read_journal(recording.journal)
    following: Record | None = next(records, None)
    for number, cut in enumerate(cuts):
        while following is not None and following.end <= cut.position:
            for disk in recording.disks:
                disk.apply(following)
            following = next(records, None)
        target = recording.root.parent / f"cut-{number}"
        target.mkdir()
        recording.disks[cut.is_ordered].cut_power(cut.survival, rng, target)
        yield target
        shutil.rmtree(target)


def replay_events(recording: Recording, cuts: Sequence[Cut]) -> Iterator[Model]:
    """Yield what must be true after each cut."""
    model = recording.model.copy()
    remaining = iter(recording.events)
    following = next(remaining, None)
    for cut in cuts:
        while following is not None and following.position <= cut.position:
            following.apply(model)
            following = next(remaining, None)
        yield model


def check_cuts(
    recording: Recording,
    cuts: Sequence[Cut],
    rng: random.Random,
    served: AbstractSet[int] = frozenset(),
) -> CutResults:
    """Cut the power at each point, and compare what is there then with what must be true.

    Args:
        recording: the run.
        cuts: the points, by position.
        rng: chooses what survives.
        served: the numbers of the cuts after which a server starts; after the others, storage is
            opened without one.
    """
    results = CutResults()
    models = replay_events(recording, cuts)
    folders = cut_power(recording, cuts, rng)
    for number, (cut, folder, model) in enumerate(zip(cuts, folders, models, strict=False)):
        results.cuts += 1
        results.states += len(model.versions)
        try:
            if number in served:
                violations = _check_server(folder, model, recording.workers)
            else:
                violations = compare(model, asyncio.run(observe_folder(folder / DATA)))
        except (errors.AkinError, ServerEnded) as exc:
            violations = [Violation("lost", Key("", "", ""), str(exc))]
        results.violations += [
            violation._replace(problem=f"{cut}: {violation.problem}") for violation in violations
        ]
    return results


def _check_server(folder: Path, model: Model, workers: int) -> list[Violation]:
    server = FaultyServer(folder, folder.parent / f"{folder.name}.log", workers)
    try:
        with Stubs(server.address) as stubs:
            observed = observe_server(stubs, 0)
            return [
                *compare(model, observed),
                *check_index(stubs, observed, observed.last_sequence),
            ]
    finally:
        server.kill()


def check_journal(recording: Recording) -> None:
    """Check that the journal, applied as a whole, gives what is in the folder.

    A process that was killed may have done something that its journal lacks.

    Raises:
        BlindShim: it does not.
    """
    if not recording.has_ended_in_order:
        return
    for operation in read_journal(recording.journal):
        recording.witness.apply(operation)
    expected = recording.witness.list_contents()
    actual = {
        path: path.read_bytes() if path.is_file() else None
        for path in recording.root.rglob("*")
        if not path.name.endswith("-shm")
    }
    if actual != expected:
        names = {path for path in {*actual, *expected} if actual.get(path) != expected.get(path)}
        raise BlindShim(f"the journal does not explain {sorted(map(str, names))}")
