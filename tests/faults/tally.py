"""What a campaign did and found."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

from faults.model import Violation


@dataclass
class Tally:
    """Counts of faults, of states, and of broken promises.

    `acknowledged` counts the states that servers acknowledged, `refused` the requests that they
    refused, and `compared` the states that were compared after faults, each time again.
    """

    scenarios: int = 0
    kills: int = 0
    restarts: int = 0
    freezes: int = 0
    power_cuts: int = 0
    full_disks: int = 0
    provider_faults: int = 0
    clock_jumps: int = 0
    backups: int = 0
    vacuums: int = 0
    killed_trainings: int = 0
    ended_sessions: int = 0
    database_crashes: int = 0
    acknowledged: int = 0
    refused: int = 0
    compared: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    failed_scenarios: int = 0
    control_cuts: int = 0
    control_losses: int = 0
    skipped: dict[str, str] = field(default_factory=dict)

    def add_violations(self, violations: list[Violation]) -> None:
        """Count broken promises."""
        counts = Counter(violation.kind for violation in violations)
        self.lost += counts["lost"]
        self.doubled += counts["doubled"]
        self.wrong += counts["wrong"]

    def as_dict(self) -> dict[str, object]:
        """Return the counts by name."""
        return asdict(self)
