"""The queue inside gRPC, with counts of calls that the tests set."""

from service.api import queued_calls
from service.api.queued_calls import QueuedCalls

ROUND_SECONDS = 0.001


class Counts:
    """Counts that tests set."""

    def __init__(self) -> None:
        self.accepted = 0
        self.arrived = 0
        self.measurements = 0

    def count_arrived(self) -> int:
        """Return the calls that arrived."""
        self.measurements += 1
        return self.arrived


class Rounds:
    """Rounds of an overload, with calls that arrive and are accepted as a test says."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.now = 100.0
        self.queue = QueuedCalls(self.counts, self.now)

    def run(self, rounds: int, arrived: int, accepted: int) -> float:
        """Let calls arrive and be accepted in each round; return the last estimate."""
        estimate = 0.0
        for _ in range(rounds):
            self.now += ROUND_SECONDS
            self.counts.arrived += arrived
            self.counts.accepted += accepted
            estimate = self.queue.estimate(self.now)
        return estimate


def test_a_queue_that_lasts_is_not_lost() -> None:
    """A queue from which calls are accepted counts, for however long it never becomes shorter."""
    rounds = Rounds()
    rounds.counts.arrived = 50
    seconds = 10 * queued_calls.WINDOW_SECONDS
    assert rounds.run(int(seconds / ROUND_SECONDS), 1, 1) == 50


def test_calls_that_are_never_accepted_do_not_count() -> None:
    """What remains when no call is accepted any more are lost calls, also beside later ones."""
    rounds = Rounds()
    rounds.counts.arrived = 50
    assert rounds.run(queued_calls.SILENT_ROUNDS, 0, 0) == 0
    rounds.counts.arrived += 7
    assert rounds.run(100, 1, 1) == 7


def test_the_queue_is_estimated_between_measurements() -> None:
    """The estimate follows the calls that arrive and are accepted; few rounds pay for measuring."""
    rounds = Rounds()
    rounds.run(100, 3, 2)
    before = rounds.counts.measurements
    estimates = [rounds.run(1, 3, 2) for _ in range(100)]
    assert all(abs(e - 100 - number) <= 5 for number, e in enumerate(estimates, 1))
    seconds = 100 * ROUND_SECONDS
    assert rounds.counts.measurements - before <= 1 + seconds / queued_calls.MEASURE_SECONDS
