"""A wall clock that jumps while writers write."""

from __future__ import annotations

import random

from faults.clock import Clock
from faults.disturbances import STATES_BETWEEN
from faults.session import Session
from faults.tally import Tally

JUMPS_SECONDS = (-86_400, -3_600, -60, 60, 3_600, 86_400)


def jump_clock(clock: Clock, session: Session, rng: random.Random, tally: Tally) -> None:
    """Move the clock while writers write."""
    tally.clock_jumps += 1
    clock.jump(rng.choice(JUMPS_SECONDS))
    session.write_more(STATES_BETWEEN)
