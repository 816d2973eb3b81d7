"""The queue inside gRPC, with counts of calls that the tests set."""

from collections import deque

from service.api import queued_calls
from service.api.queued_calls import QueuedCalls

ROUND_SECONDS = 0.001


class Queue:
    """A queue inside gRPC, first in, first out, with probes among its calls."""

    def __init__(self) -> None:
        self.accepted = 0
        self.accepted_before_probe: int | None = None
        self.lost = 0
        self.can_probe = True
        self.measurements = 0
        self.probes = 0
        self._calls: deque[str] = deque()

    def arrive(self, calls: int) -> None:
        """Let calls arrive."""
        self._calls.extend(["call"] * calls)

    def accept(self, calls: int) -> None:
        """Accept calls from the front."""
        for _ in range(min(calls, len(self._calls))):
            if self._calls.popleft() == "probe":
                self.accepted_before_probe = self.accepted
            self.accepted += 1

    def count_arrived(self) -> int:
        """Return the calls that arrived."""
        self.measurements += 1
        return self.accepted + len(self._calls) + self.lost

    def send_probe(self) -> None:
        """Queue a probe."""
        self.probes += 1
        self.accepted_before_probe = None
        self._calls.append("probe")

    def __len__(self) -> int:
        return len(self._calls)


class Rounds:
    """Rounds of an overload, with calls that arrive and are accepted as a test says."""

    def __init__(self) -> None:
        self.counts = Queue()
        self.now = 100.0
        self.queue = QueuedCalls(self.counts, self.now)

    def run(self, rounds: int, arrived: int, accepted: int) -> list[float]:
        """Let calls arrive and be accepted in each round; return the estimates."""
        estimates = []
        for _ in range(rounds):
            self.now += ROUND_SECONDS
            self.counts.arrive(arrived)
            self.counts.accept(accepted)
            estimates.append(self.queue.estimate(self.now))
        return estimates


def test_a_queue_that_lasts_counts() -> None:
    """A queue counts for however long it never becomes shorter, with pauses or without."""
    rounds = Rounds()
    rounds.counts.arrive(200)
    rounds.run(100, 0, 0)
    for _ in range(20):
        rounds.run(200, 1, 1)
        rounds.run(10, 0, 0)
    assert abs(rounds.run(30, 1, 1)[-1] - len(rounds.counts)) <= 2
    assert len(rounds.counts) >= 200


def test_calls_that_are_never_accepted_do_not_count() -> None:
    """Lost calls stop counting soon, although other calls arrive and are accepted all the time."""
    rounds = Rounds()
    for _ in range(5):
        rounds.counts.lost += 50
        rounds.run(500, 1, 2)
        assert rounds.run(100, 1, 2)[-1] <= queued_calls.MIN_PROBED_CALLS


def test_lost_calls_do_not_hide_a_queue() -> None:
    """Beside lost calls, the estimate is at least the length of the queue."""
    rounds = Rounds()
    rounds.counts.lost = 50
    rounds.run(2_000, 1, 1)
    rounds.counts.arrive(100)
    for _ in range(50):
        estimate = rounds.run(30, 2, 2)[-1]
        assert len(rounds.counts) - 2 <= estimate <= len(rounds.counts) + 52


def test_the_queue_is_estimated_between_measurements() -> None:
    """The estimate follows the calls that arrive and are accepted; few rounds pay for measuring."""
    rounds = Rounds()
    rounds.run(100, 3, 2)
    before = rounds.counts.measurements
    for _ in range(100):
        estimate = rounds.run(1, 3, 2)[-1]
        assert abs(estimate - len(rounds.counts)) <= 5
    seconds = 100 * ROUND_SECONDS
    assert rounds.counts.measurements - before <= 1 + seconds / queued_calls.MEASURE_SECONDS


def test_probes_are_rare() -> None:
    """There is one probe at a time, one in PROBE_SECONDS, and none of a short queue."""
    rounds = Rounds()
    rounds.counts.arrive(queued_calls.MIN_PROBED_CALLS - 1)
    rounds.run(1_000, 1, 1)
    assert rounds.counts.probes == 0
    rounds.counts.arrive(50)
    rounds.run(1_000, 0, 0)
    assert rounds.counts.probes == 1
    rounds.run(2_000, 1, 1)
    assert 2 <= rounds.counts.probes <= 1 + 2_000 * ROUND_SECONDS / queued_calls.PROBE_SECONDS


def test_calls_that_are_accepted_late_were_not_lost() -> None:
    """Calls whose headers were incomplete for a while do not hide a later queue."""
    rounds = Rounds()
    rounds.counts.lost = 50
    rounds.run(500, 1, 2)
    rounds.counts.lost = 0
    rounds.counts.accepted += 50
    rounds.run(100, 1, 2)
    rounds.counts.arrive(100)
    assert rounds.run(30, 2, 2)[-1] >= 95


def test_only_a_probe_that_is_queued_confirms_a_queue() -> None:
    """The queue is confirmed from the measurement after the probe until the probe is accepted."""
    rounds = Rounds()
    rounds.counts.arrive(200)
    rounds.now += 1.0
    rounds.queue.measure(rounds.now)
    assert not rounds.queue.is_probed
    rounds.now += 1.0
    rounds.queue.measure(rounds.now)
    assert rounds.queue.is_probed
    rounds.counts.accept(201)
    rounds.now += 1.0
    rounds.queue.measure(rounds.now)
    assert not rounds.queue.is_probed


def test_lost_calls_are_learnt_without_probes() -> None:
    """If probes do not reach the server, calls that stay missing for a while are lost ones."""
    rounds = Rounds()
    rounds.counts.can_probe = False
    rounds.counts.lost = 50
    rounds.run(3_000, 1, 2)
    assert rounds.counts.probes == 0
    assert rounds.run(10, 1, 2)[-1] <= queued_calls.MIN_PROBED_CALLS
    assert rounds.queue.is_probed


def test_a_failed_probe_is_given_up() -> None:
    """If a probe fails, lost calls are learnt without it."""
    rounds = Rounds()
    rounds.counts.lost = 50
    rounds.run(30, 0, 0)
    assert rounds.counts.probes == 1
    rounds.counts.accept(1)
    rounds.counts.accepted_before_probe = None
    rounds.counts.can_probe = False
    rounds.run(3_000, 1, 2)
    assert rounds.run(10, 1, 2)[-1] <= queued_calls.MIN_PROBED_CALLS
