"""The faults of a cluster while writers write: kills, failovers, frozen replicas."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping

from support.postgres_cluster import PostgresCluster
from support.waiting import until

from faults.cluster.cluster_session import ClusterSession
from faults.cluster.replicas import find_duty_holder

# States that writers write during an event and after it.
STATES_DURING = 60
STATES_AFTER = 30

FREEZE_SECONDS = (2.0, 12.0)

# Just longer than the server waits for a process that stands still in a transaction, so that each
# freeze ends the sessions of some transactions, and no process misses more than that.
TRANSACTION_FREEZE_SECONDS = 5.7
TRANSACTION_FREEZES = 3

# Time until somebody promotes a standby.
PROMOTION_SECONDS = (0.0, 3.0)

TERMINATIONS = 8

Event = Callable[[ClusterSession, PostgresCluster, random.Random], None]


def kill_replica(session: ClusterSession, cluster: PostgresCluster, rng: random.Random) -> None:
    """Kill a replica, and start it again."""
    replica = rng.choice(session.replicas)
    replica.kill()
    session.write_more(STATES_DURING)
    replica.start()
    session.write_more(STATES_AFTER)


def kill_duty_holder(session: ClusterSession, cluster: PostgresCluster, rng: random.Random) -> None:
    """Kill the replica that embeds pending texts, and wait until another one does."""
    holder = find_duty_holder(session.replicas)
    holder.kill()
    until(lambda: find_duty_holder(session.replicas) is not holder)
    session.write_more(STATES_DURING)
    holder.start()
    session.write_more(STATES_AFTER)


def freeze_replica(session: ClusterSession, cluster: PostgresCluster, rng: random.Random) -> None:
    """Let a replica stand still for seconds."""
    replica = rng.choice(session.replicas)
    replica.freeze()
    threading.Event().wait(rng.uniform(*FREEZE_SECONDS))
    replica.go_on()
    session.write_more(STATES_DURING + STATES_AFTER)


def freeze_transactions(
    session: ClusterSession, cluster: PostgresCluster, rng: random.Random
) -> None:
    """Let all replicas stand still until the server ends the transactions that they are in."""
    for _ in range(TRANSACTION_FREEZES):
        for replica in session.replicas:
            replica.freeze()
        threading.Event().wait(TRANSACTION_FREEZE_SECONDS)
        for replica in session.replicas:
            replica.go_on()
        session.write_more(STATES_AFTER)


def fail_over(session: ClusterSession, cluster: PostgresCluster, rng: random.Random) -> None:
    """Kill the primary, promote a standby, and add a new one."""
    cluster.crash_primary()
    threading.Event().wait(rng.uniform(*PROMOTION_SECONDS))
    cluster.promote()
    session.write_more(STATES_DURING)
    cluster.add_standby()
    session.write_more(STATES_AFTER)


def fail_over_and_kill(
    session: ClusterSession, cluster: PostgresCluster, rng: random.Random
) -> None:
    """Kill the primary and a replica at the same time."""
    replica = rng.choice(session.replicas)
    replica.kill()
    cluster.crash_primary()
    cluster.promote()
    replica.start()
    session.write_more(STATES_DURING)
    cluster.add_standby()
    session.write_more(STATES_AFTER)


def restart_primary(session: ClusterSession, cluster: PostgresCluster, rng: random.Random) -> None:
    """Kill the primary, and start it again with its data."""
    cluster.restart_primary()
    session.write_more(STATES_DURING + STATES_AFTER)


def terminate_sessions(
    session: ClusterSession, cluster: PostgresCluster, rng: random.Random
) -> None:
    """End all sessions of the database several times."""
    for _ in range(TERMINATIONS):
        cluster.terminate_sessions()
        session.write_more(rng.randint(1, 12))
    session.write_more(STATES_AFTER)


# In the order in which they happen, again and again.
EVENTS: Mapping[str, Event] = {
    "kill of a replica": kill_replica,
    "failover": fail_over,
    "kill of the duty holder": kill_duty_holder,
    "end of all sessions": terminate_sessions,
    "failover and kill of a replica": fail_over_and_kill,
    "frozen replica": freeze_replica,
    "frozen transactions": freeze_transactions,
    "restart of the primary": restart_primary,
}
