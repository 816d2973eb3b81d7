"""The scenarios of a campaign over PostgreSQL, with faults of the database server as well."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from support.postgres import PostgresServer
from support.provider import ScriptedProvider

from faults import disturbances
from faults.disturbances import STATES_BETWEEN, Disturb
from faults.provider_faults import check_recovery, disturb_provider, make_settings
from faults.scenarios import Scenario, run_faults
from faults.session import ServerOptions, Session
from faults.tally import Tally
from faults.writer import Conditions

# Commits survive the end of the database server's processes, but no loss of power.
SETTINGS = {"fsync": "off", "full_page_writes": "off"}

DATABASE = "akin"
TERMINATIONS = 10
TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'akin'"

ONE_WORKER = ServerOptions()

MakeFaults = Callable[[PostgresServer, random.Random], list[Disturb]]


def kill_one_process(seed: str, folder: Path, tally: Tally) -> None:
    """One worker, killed several times, and sometimes frozen or restarted."""
    kinds = [disturbances.kill_group] * 4 + [disturbances.freeze, disturbances.restart]
    _run(seed, folder, tally, lambda _, rng: [kinds[0], *rng.choices(kinds, k=4)])


def kill_workers(seed: str, folder: Path, tally: Tally) -> None:
    """Three workers: one, the supervisor or all are killed or frozen."""
    faults: list[Disturb] = [
        disturbances.kill_worker,
        disturbances.kill_group,
        disturbances.kill_supervisor,
        disturbances.freeze_worker,
    ]
    _run(seed, folder, tally, lambda _, rng: rng.sample(faults, len(faults)), ServerOptions(3))


def kill_trainings(seed: str, folder: Path, tally: Tally) -> None:
    """Trainings that are killed, alone or with their server."""
    faults: list[Disturb] = [disturbances.kill_training, disturbances.kill_during_training]
    _run(seed, folder, tally, lambda _, rng: rng.sample(faults, len(faults)))


def fail_database(seed: str, folder: Path, tally: Tally) -> None:
    """Sessions that end, and a database server that is killed, with one worker or three."""

    def make_faults(postgres: PostgresServer, rng: random.Random) -> list[Disturb]:
        terminate = partial(terminate_sessions, postgres)
        crash = partial(crash_database, postgres)
        faults: list[Disturb] = [terminate, crash, disturbances.kill_group]
        return [terminate, crash, *rng.choices(faults, k=3)]

    workers = random.Random(seed).choice([1, 3])
    _run(seed, folder, tally, make_faults, ServerOptions(workers))


def fail_provider(seed: str, folder: Path, tally: Tally) -> None:
    """An embedding provider and a database server that fail; in the end nothing is pending."""
    with ScriptedProvider() as provider:
        fail = partial(disturb_provider, provider)

        def make_faults(postgres: PostgresServer, _rng: random.Random) -> list[Disturb]:
            return [fail, partial(crash_database, postgres), fail, check_recovery]

        options = ServerOptions(
            settings=make_settings(provider), conditions=Conditions(embeds_always=False)
        )
        _run(seed, folder, tally, make_faults, options)


def terminate_sessions(
    postgres: PostgresServer, session: Session, rng: random.Random, tally: Tally
) -> None:
    """End all sessions of the database several times, while writers write."""
    for _ in range(TERMINATIONS):
        tally.ended_sessions += len(postgres.execute(TERMINATE))
        session.write_more(rng.randint(1, 12))


def crash_database(
    postgres: PostgresServer, session: Session, rng: random.Random, tally: Tally
) -> None:
    """Kill the database server, and start it again."""
    tally.database_crashes += 1
    postgres.crash()
    postgres.start()
    session.write_more(STATES_BETWEEN)


POSTGRES_SCENARIOS: Mapping[str, Scenario] = {
    "kills": kill_one_process,
    "database": fail_database,
    "workers": kill_workers,
    "provider": fail_provider,
    "training": kill_trainings,
}

# The kinds in the order of their seeds.
POSTGRES_KINDS = ("database", "kills", "workers", "database", "provider", "kills", "training")


def _run(
    seed: str,
    folder: Path,
    tally: Tally,
    make_faults: MakeFaults,
    options: ServerOptions = ONE_WORKER,
) -> None:
    rng = random.Random(seed)
    data = folder / "server"
    data.mkdir()
    with _start_postgres() as postgres:
        settings = {**options.settings, "STORE": postgres.address(DATABASE)}
        session = Session(data, seed, replace(options, settings=settings))
        run_faults(session, make_faults(postgres, rng), rng, tally)


@contextmanager
def _start_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer(SETTINGS)
    try:
        server.execute(f"CREATE DATABASE {DATABASE}")
        yield server
    finally:
        server.stop()
