"""The scenarios of a campaign: each has a seed, a folder of its own and some faults of a kind."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial, wraps
from pathlib import Path

from support.provider import ScriptedProvider

from faults import disturbances, full_disk, power_cuts, shim, snapshots
from faults.clock import make_clock
from faults.clock_jumps import jump_clock
from faults.disturbances import Disturb
from faults.model import Violation
from faults.operators import back_up, find_vacuum, vacuum
from faults.provider_faults import check_recovery, disturb_provider, make_settings
from faults.recorder import Recorder
from faults.session import ServerOptions, Session
from faults.tally import Tally
from faults.writer import Conditions

# States that writers write before each fault.
STATES = (100, 500)

CUTS = 60
SERVED_CUTS = 1
SNAPSHOT_CUTS = 4
CONTROL_CUTS = 10


class BrokenPromise(Exception):
    """A scenario found violations; the message has them and the history of their keys."""

    def __init__(self, violations: list[Violation], recorder: Recorder | None) -> None:
        lines = [f"{kind}: {'/'.join(key)}: {problem}" for kind, key, problem in violations[:20]]
        if recorder is not None:
            keys = [violation.key for violation in violations[:5]]
            lines += ["history of these keys:", *recorder.list_history(keys)[-60:]]
        super().__init__("\n".join(lines))
        self.violations = violations


Scenario = Callable[[str, Path, Tally], None]


def _needs_shim(name: str) -> Callable[[Scenario], Scenario]:
    """Let a scenario be skipped, and the tally name it, where shims cannot be used."""

    def decorate(scenario: Scenario) -> Scenario:
        @wraps(scenario)
        def run(seed: str, folder: Path, tally: Tally) -> None:
            problem = shim.find_problem()
            if problem:
                tally.skipped[name] = problem
            else:
                scenario(seed, folder, tally)

        return run

    return decorate


def run_faults(
    session: Session, faults: Iterable[Disturb], rng: random.Random, tally: Tally
) -> None:
    """Have writers write and faults happen, and compare all states after each.

    Raises:
        BrokenPromise: a state is not as it must be.
    """
    try:
        for fault in faults:
            session.run_round(rng.randint(*STATES), partial(fault, session, rng, tally))
            raise_violations(session.verify(), session.recorder, tally)
    finally:
        session.close()
        tally.acknowledged += session.recorder.acknowledged_count
        tally.refused += session.recorder.refused_count
        tally.compared += session.verified_states


def raise_violations(violations: list[Violation], recorder: Recorder | None, tally: Tally) -> None:
    """Count violations.

    Raises:
        BrokenPromise: there are some.
    """
    tally.add_violations(violations)
    if violations:
        raise BrokenPromise(violations, recorder)


def kill_one_process(seed: str, folder: Path, tally: Tally) -> None:
    """One worker, killed several times, and sometimes frozen or restarted."""
    rng = random.Random(seed)
    kinds = [disturbances.kill_group] * 4 + [disturbances.freeze, disturbances.restart, back_up]
    faults = [disturbances.kill_group, *rng.choices(kinds, k=5)]
    run_faults(Session(_make(folder), seed, ServerOptions()), faults, rng, tally)


def kill_workers(seed: str, folder: Path, tally: Tally) -> None:
    """Three workers: one, the supervisor or all are killed or frozen."""
    rng = random.Random(seed)
    faults = [
        disturbances.kill_worker,
        disturbances.kill_worker,
        disturbances.kill_group,
        disturbances.kill_supervisor,
        disturbances.freeze_worker,
        back_up,
    ]
    rng.shuffle(faults)
    run_faults(Session(_make(folder), seed, ServerOptions(3)), faults, rng, tally)


def kill_trainings(seed: str, folder: Path, tally: Tally) -> None:
    """Trainings that are killed, alone or with their server, with one worker or three."""
    rng = random.Random(seed)
    faults = [disturbances.kill_training, disturbances.kill_during_training] * 2
    rng.shuffle(faults)
    run_faults(Session(_make(folder), seed, ServerOptions(rng.choice([1, 3]))), faults, rng, tally)


def fill_disk(seed: str, folder: Path, tally: Tally) -> None:
    """A full disk, with one worker or three."""
    rng = random.Random(seed)
    data = _make(folder)
    with full_disk.mount_small_disk(data) as is_mounted:
        fault = partial(full_disk.fill_disk, is_mounted=is_mounted)
        session = Session(data, seed, ServerOptions(rng.choice([1, 3])))
        run_faults(session, [fault, fault, disturbances.kill_group], rng, tally)


def fail_provider(seed: str, folder: Path, tally: Tally) -> None:
    """An embedding provider that fails in all ways, with kills; in the end nothing is pending."""
    rng = random.Random(seed)
    with ScriptedProvider() as provider:
        options = ServerOptions(
            rng.choice([1, 3]),
            make_settings(provider),
            conditions=Conditions(embeds_always=False),
        )
        session = Session(_make(folder), seed, options)
        fault = partial(disturb_provider, provider)
        run_faults(session, [fault, disturbances.kill_group, fault, check_recovery], rng, tally)


@_needs_shim("clock jumps")
def move_clock(seed: str, folder: Path, tally: Tally) -> None:
    """A wall clock that jumps by days in both directions."""
    rng = random.Random(seed)
    clock = make_clock(folder)
    options = ServerOptions(
        rng.choice([1, 3]),
        variables=clock.variables,
        conditions=Conditions(read_clock=clock.read),
        clock=clock,
    )
    session = Session(_make(folder), seed, options)
    jump = partial(jump_clock, clock)
    run_faults(session, [jump, jump, disturbances.kill_group, jump], rng, tally)


def vacuum_database(seed: str, folder: Path, tally: Tally) -> None:
    """The operator's vacuum between kills."""
    if not find_vacuum():
        tally.skipped["vacuum"] = "this version has no command vacuum"
        return
    rng = random.Random(seed)
    faults = [vacuum, disturbances.kill_group, vacuum]
    run_faults(Session(_make(folder), seed, ServerOptions(rng.choice([1, 3]))), faults, rng, tally)


@_needs_shim("power cuts")
def cut_power(seed: str, folder: Path, tally: Tally) -> None:
    """One recorded run, and power cuts at many points of it."""
    rng = random.Random(seed)
    recording = _record(rng, seed, folder, syncs=True)
    power_cuts.check_journal(recording)
    cuts = power_cuts.choose_cuts(recording, CUTS, rng)
    served = frozenset(rng.sample(range(len(cuts)), SERVED_CUTS))
    _check_cuts(recording, cuts, rng, served, tally)


@_needs_shim("snapshots")
def cut_power_during_snapshot(seed: str, folder: Path, tally: Tally) -> None:
    """Power cuts while a snapshot of an index is written; a server starts after each."""
    rng = random.Random(seed)
    recording = _record(rng, seed, folder, snapshots.write_snapshot, syncs=True)
    cuts = snapshots.choose_cuts(recording, SNAPSHOT_CUTS, rng)
    _check_cuts(recording, cuts, rng, frozenset(range(len(cuts))), tally)


@_needs_shim("control")
def cut_power_without_syncs(seed: str, folder: Path, tally: Tally) -> None:
    """The negative control: without syncs, power cuts must lose acknowledged states.

    Raises:
        BlindCampaign: they lost nothing, so the campaign proves nothing.
    """
    rng = random.Random(seed)
    recording = _record(rng, seed, folder, syncs=False)
    cuts = power_cuts.choose_cuts(recording, CONTROL_CUTS, rng)
    results = power_cuts.check_cuts(recording, cuts, rng)
    losses = sum(violation.kind == "lost" for violation in results.violations)
    tally.control_cuts += results.cuts
    tally.control_losses += losses
    if not losses:
        raise BlindCampaign("without syncs, power cuts lost nothing: the campaign proves nothing")


class BlindCampaign(Exception):
    """The negative control found nothing."""


SCENARIOS: Mapping[str, Scenario] = {
    "kills": kill_one_process,
    "power cuts": cut_power,
    "workers": kill_workers,
    "full disk": fill_disk,
    "provider": fail_provider,
    "clock": move_clock,
    "vacuum": vacuum_database,
    "snapshots": cut_power_during_snapshot,
    "training": kill_trainings,
}


def _check_cuts(
    recording: power_cuts.Recording,
    cuts: Sequence[power_cuts.Cut],
    rng: random.Random,
    served: AbstractSet[int],
    tally: Tally,
) -> None:
    results = power_cuts.check_cuts(recording, cuts, rng, served)
    tally.power_cuts += results.cuts
    tally.compared += results.states
    tally.acknowledged += recording.acknowledged_count
    raise_violations(results.violations, None, tally)


def _make(folder: Path) -> Path:
    data = folder / "server"
    data.mkdir()
    return data


def _record(
    rng: random.Random,
    seed: str,
    folder: Path,
    run: Callable[[Session, random.Random], bool] = power_cuts.write_twice,
    *,
    syncs: bool,
) -> power_cuts.Recording:
    root = _make(folder).resolve()
    if rng.random() < 0.5:
        (root / power_cuts.DATA).mkdir()
    library = shim.compile_shim("journal", folder)

    def run_once(session: Session) -> bool:
        return run(session, rng)

    return power_cuts.record(root, library, seed, rng.choice([1, 3]), run_once, syncs=syncs)
