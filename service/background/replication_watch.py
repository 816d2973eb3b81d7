"""Reports whether the loss of the database server can lose acknowledged writes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from service import errors
from service.storage.database import Database

# The interval of checks. The settings change seldom, and a promoted standby can have others.
REPLICATION_CHECK_SECONDS = 10.0


class ReplicationWatch:
    """Logs each change, and keeps a metric up to date.

    Args:
        database: the store.
        show_problem: receives after each check whether there is a problem.
    """

    def __init__(self, database: Database, show_problem: Callable[[bool], None]) -> None:
        self._database = database
        self._show_problem = show_problem
        self._problem = ""

    async def run(self) -> None:
        """Check at an interval until cancelled."""
        while True:
            await asyncio.sleep(REPLICATION_CHECK_SECONDS)
            with suppress(errors.AkinError):  # others report a store that cannot be read
                await self.check()

    async def check(self) -> None:
        """Check once, and log the problem if it is new, or its end.

        Raises:
            StoreUnavailable, StoreCorrupted: the store cannot be read.
        """
        problem = await self._database.find_replication_problem()
        self._show_problem(bool(problem))
        former, self._problem = self._problem, problem
        if problem == former:
            return
        if problem:
            structlog.get_logger().warning("store_not_replicated", problem=problem)
        else:
            structlog.get_logger().info("store_replicated")
