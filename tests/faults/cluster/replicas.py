"""Replicas: servers over one database, each with a data folder and an address of its own."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.server import free_address

from faults.server import FaultyServer


class Replica:
    """One replica, which can be killed and started again.

    Attributes:
        name: its name.
        address: its address, the same after each start.
        is_alive: it serves, and no fault of its own befalls it.
        lives: changes whenever `is_alive` does.
        kill_times: when its processes were killed, by the API keys that they had.
    """

    def __init__(self, name: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.address = free_address()
        self.is_alive = False
        self.lives = 0
        self.kill_times: dict[str, float] = {}
        self._folder = folder / name
        self._folder.mkdir()
        self._settings = settings
        self._starts = 0
        self.start()

    def start(self) -> None:
        """Start it, and wait until it serves."""
        self._starts += 1
        log_path = self._folder / f"server-{self._starts}.log"
        settings = {**self._settings, "LISTEN": self.address, "EMBEDDING_API_KEY": self._key}
        self.server = FaultyServer(self._folder, log_path, 1, settings)
        self._set_alive(is_alive=True)

    def kill(self) -> None:
        """Kill it, if it lives."""
        self._set_alive(is_alive=False)
        self.server.kill()
        self.kill_times.setdefault(self._key, time.monotonic())

    def freeze(self) -> None:
        """Let it stand still."""
        self._set_alive(is_alive=False)
        self.server.signal_group(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after a freeze."""
        self.server.signal_group(signal.SIGCONT)
        self._set_alive(is_alive=True)

    def read_duty_times(self, duty: str) -> list[str]:
        """Return when it took a duty, as written in its log."""
        events = self.server.list_events("duty_taken")
        return [event["timestamp"] for event in events if event["duty"] == duty]

    def _set_alive(self, *, is_alive: bool) -> None:
        self.lives += 1
        self.is_alive = is_alive

    @property
    def _key(self) -> str:
        return f"{self.name}-{self._starts}"


def find_duty_holder(replicas: Sequence[Replica], duty: str = "embedding") -> Replica:
    """Return the replica that took a duty last."""
    return max(replicas, key=lambda replica: max(replica.read_duty_times(duty), default=""))
