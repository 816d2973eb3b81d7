"""Faults that befall a server while writers write."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable

from support.trainings import find_trainings, is_running
from support.waiting import until

from faults.server import FaultyServer, ServerEnded
from faults.session import Session
from faults.tally import Tally

# States that writers write during a disturbance that leaves a part of the server working.
STATES_BETWEEN = 60

FREEZE_SECONDS = (0.5, 3.0)

# A training of the few likes that writers write takes about half a second.
TRAINING_SECONDS = (0.0, 0.5)

Disturb = Callable[[Session, random.Random, Tally], None]


def kill_group(session: Session, rng: random.Random, tally: Tally) -> None:
    """Kill all processes of the server, and start it again."""
    tally.kills += 1
    session.server.signal_group(signal.SIGKILL)
    session.stop_writers()
    session.server.kill()
    session.start_server()


def kill_worker(session: Session, rng: random.Random, tally: Tally) -> None:
    """Kill one worker, while the others serve, and wait until it serves again."""
    tally.kills += 1
    server = session.server
    served = len(server.list_events("serving"))
    server.signal_worker(rng.randrange(server.workers), signal.SIGKILL)
    session.write_more(STATES_BETWEEN)
    server.wait_for("serving", served + 1)
    session.write_more(STATES_BETWEEN)


def kill_supervisor(session: Session, rng: random.Random, tally: Tally) -> None:
    """Kill the process that started the workers, and start a server beside what is left of it."""
    tally.kills += 1
    old = session.server
    old.signal_supervisor(signal.SIGKILL)
    try:
        start_when_possible(session)
        old.wait_for_group_end()
    finally:
        old.kill()


def restart(session: Session, rng: random.Random, tally: Tally) -> None:
    """End the server in order, and start it again."""
    tally.restarts += 1
    session.server.stop()
    session.start_server()


def freeze(session: Session, rng: random.Random, tally: Tally) -> None:
    """Stop all processes of the server for seconds."""
    tally.freezes += 1
    session.server.signal_group(signal.SIGSTOP)
    _wait(rng.uniform(*FREEZE_SECONDS))
    session.server.signal_group(signal.SIGCONT)
    session.write_more(STATES_BETWEEN)


def freeze_worker(session: Session, rng: random.Random, tally: Tally) -> None:
    """Stop one worker for seconds, while the others serve."""
    tally.freezes += 1
    number = rng.randrange(session.server.workers)
    session.server.signal_worker(number, signal.SIGSTOP)
    _wait(rng.uniform(*FREEZE_SECONDS))
    session.server.signal_worker(number, signal.SIGCONT)
    session.write_more(STATES_BETWEEN)


def kill_training(session: Session, rng: random.Random, tally: Tally) -> None:
    """Kill the process of a training; the server goes on, and trains again."""
    tally.killed_trainings += 1
    os.kill(_wait_for_training(session, rng), signal.SIGKILL)
    session.write_more(STATES_BETWEEN)


def kill_during_training(session: Session, rng: random.Random, tally: Tally) -> None:
    """Kill all processes of the server while it trains, and start it again."""
    tally.killed_trainings += 1
    _wait_for_training(session, rng)
    kill_group(session, rng, tally)


def start_when_possible(session: Session) -> FaultyServer:
    """Start a server, again and again while another process still holds the data folder."""

    def has_started() -> bool:
        try:
            session.start_server()
        except ServerEnded as exc:
            if "another server uses" not in str(exc):
                raise
            return False
        return True

    until(has_started)
    return session.server


def _wait_for_training(session: Session, rng: random.Random) -> int:
    """Wait until a worker trains, for a while more or not, and return the id of the process."""
    trainings: list[int] = []

    def trains() -> bool:
        trainings[:] = find_trainings(session.server.list_worker_ids())
        return bool(trainings)

    until(trains)
    _wait(rng.uniform(*TRAINING_SECONDS))
    return trainings[0] if is_running(trainings[0]) else _wait_for_training(session, rng)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)
