"""Trims of a tail are held back while reads may need what they would drop."""

import random

import pytest

from service.index.shared.held_trims import HeldTrims, RunningRead


def test_without_reads_nothing_is_held() -> None:
    """A note counts at once if no read runs, and never takes an earlier one back."""
    trims = HeldTrims()
    assert 0 == trims.reached
    for reached, expected in ((3, 3), (3, 3), (2, 3), (7, 7)):
        trims.note(reached)
        assert expected == trims.reached


def test_a_read_that_began_before_holds_a_note_back() -> None:
    """A note counts once the reads have ended that ran when it came, not those that began later."""
    trims = HeldTrims()
    trims.note(1)
    first, second = trims.begin(), trims.begin()
    trims.note(5)
    later = trims.begin()
    trims.end(first)
    assert 1 == trims.reached
    trims.end(second)
    assert 5 == trims.reached
    trims.end(later)
    assert 5 == trims.reached


def test_each_note_waits_for_its_own_reads() -> None:
    """Of several notes, those count that no running read has been there for."""
    trims = HeldTrims()
    reads = []
    for reached in (1, 2, 3):
        reads.append(trims.begin())
        trims.note(reached)
    for number, expected in ((0, 1), (1, 2), (2, 3)):
        assert expected - 1 == trims.reached
        trims.end(reads[number])
        assert expected == trims.reached


def test_notes_count_in_order() -> None:
    """A later note counts no sooner than an earlier one, for it waits for the same reads."""
    trims = HeldTrims()
    first = trims.begin()
    trims.note(1)
    second = trims.begin()
    trims.note(2)
    trims.end(second)
    assert 0 == trims.reached
    trims.end(first)
    assert 2 == trims.reached


def test_a_read_can_end_twice() -> None:
    """A second end changes nothing, and an equal read of another call goes on."""
    trims = HeldTrims()
    first, second = trims.begin(), trims.begin()
    trims.note(1)
    trims.end(first)
    trims.end(first)
    assert 0 == trims.reached
    trims.end(second)
    assert 1 == trims.reached


def test_notes_begin_again_with_another_collection() -> None:
    """After a restart earlier notes do not count, and running reads hold new ones back."""
    trims = HeldTrims()
    trims.note(9)
    read = trims.begin()
    trims.note(10)
    trims.restart()
    assert 0 == trims.reached
    trims.note(3)
    assert 0 == trims.reached
    trims.end(read)
    assert 3 == trims.reached


@pytest.mark.parametrize("seed", range(10))
def test_no_read_loses_what_it_may_need(seed: int) -> None:
    """However reads and notes come, a note counts exactly when no read needs what it drops."""
    choices = random.Random(seed)
    trims = HeldTrims()
    # Each read may need all changes beyond the last note before it began.
    running: dict[RunningRead, int] = {}
    noted = 0
    for _ in range(300):
        action = choices.randrange(3)
        if action == 0:
            running[trims.begin()] = noted
        elif action == 1 and running:
            ended = choices.choice(list(running))
            del running[ended]
            trims.end(ended)
        else:
            noted = max(noted, choices.randrange(noted, noted + 3))
            trims.note(noted)
        assert min([noted, *running.values()]) == trims.reached
