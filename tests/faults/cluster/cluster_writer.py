"""Writers that send each request to a replica of their choice, and read from another one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from faults import interaction_operations, item_operations, user_operations
from faults.cluster.calls import CallCounter
from faults.operations import Operation
from faults.reads import read_own_write, read_recommendations
from faults.recorder import Recorder
from faults.writer import CALL_SECONDS, Conditions, Stubs, Writer

OPERATIONS = (
    Operation("UpsertItem", 30, item_operations.upsert_item),
    Operation("UpsertItem", 12, item_operations.upsert_shared_item),
    Operation("UpdateItem", 15, item_operations.update_item),
    Operation("ImportItems", 3, item_operations.import_items),
    Operation("DeleteItem", 10, item_operations.delete_item),
    Operation("DeleteItem", 4, item_operations.delete_shared_item),
    Operation("BatchDeleteItems", 2, item_operations.delete_items_by_ids),
    Operation("UpsertUser", 12, user_operations.upsert_user),
    Operation("UpdateUser", 8, user_operations.update_user),
    Operation("DeleteUser", 5, user_operations.delete_user),
    Operation("RecordInteractions", 8, interaction_operations.record_interactions),
    Operation("DeleteInteractions", 4, interaction_operations.delete_interactions),
    Operation("", 25, read_own_write),
    Operation("", 15, read_recommendations),
    Operation("", 8, interaction_operations.read_own_interactions),
)

# Pauses bound the load, so that the replicas and all else have room on two cores.
PAUSE_SECONDS = (0.0, 0.1)
RETRY_PAUSE_SECONDS = 0.2

# Writers choose the same new texts at about the same time, so that replicas compete for them.
WRITES_PER_COMMON_TEXT = 12
COMMON_TEXT_SHARE = 0.4


class ClusterWriter(Writer):
    """A writer with connections to all replicas.

    Args:
        number, seed, recorder: as Writer takes them.
        addresses: of all replicas.
        calls: counts the outcomes of its calls.
    """

    def __init__(
        self,
        number: int,
        seed: str,
        recorder: Recorder,
        addresses: Sequence[str],
        calls: CallCounter,
    ) -> None:
        super().__init__(number, seed, recorder, addresses[0], Conditions())
        self.close()
        self._connections = [Stubs(address, calls.connect) for address in addresses]

    def close(self) -> None:
        """Close the connections."""
        super().close()
        for stubs in getattr(self, "_connections", ()):
            stubs.channel.close()

    def choose_replicas(self) -> None:
        """Choose a replica for the next write, and one for the next read."""
        self.stubs, self.other_stubs = self.rng.sample(self._connections, 2)

    def choose_text(self) -> str:
        """Return a text that in most cases nobody has used before."""
        number = self.recorder.numbers.take()
        if self.rng.random() < COMMON_TEXT_SHARE:
            return f"common text {number // WRITES_PER_COMMON_TEXT}"
        return f"text {number} of {self.name}"

    def choose_deadline(self) -> float:
        """Return a deadline in seconds, which is longer than any fault."""
        return CALL_SECONDS

    def wait_until_connected(self) -> None:
        """Pause; the next request may go to another replica."""
        self.stopped.wait(RETRY_PAUSE_SECONDS)


def run_cluster_writer(writer: ClusterWriter) -> None:
    """Send requests until the writer is stopped."""
    weights = [operation.weight for operation in OPERATIONS]
    pause = threading.Event()
    while not writer.stopped.is_set():
        writer.choose_replicas()
        (operation,) = writer.rng.choices(OPERATIONS, weights)
        operation.run(writer)
        pause.wait(writer.rng.uniform(*PAUSE_SECONDS))
