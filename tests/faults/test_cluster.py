from __future__ import annotations

import time
from pathlib import Path

import pytest

from faults.cluster.cluster_campaign import EventReport, run_campaign
from faults.cluster.events import fail_over_and_kill, kill_duty_holder
from faults.cluster.payments import SETTLE_SECONDS, PaymentProvider
from faults.cluster.probes import find_longest_gap


@pytest.mark.slow
def test_a_cluster_loses_nothing(tmp_path: Path) -> None:
    """While a primary and replicas are killed, nothing acknowledged is lost, and reads go on."""
    events = {"failover": fail_over_and_kill, "kill": kill_duty_holder}
    shown: list[EventReport] = []
    report = run_campaign("1", tmp_path, lambda: len(shown) < len(events), shown.append, events)
    assert report.is_good, report
    assert report.compared > report.acknowledged > 0
    assert report.payments.texts > 0
    assert list(events) == [event.kind for event in report.events]


def test_gaps_are_between_successes() -> None:
    """The longest gap is that between two successes of which a part is within the time."""
    assert 12 == find_longest_gap([20, 1, 2, 7, 8], begin=4, end=9)
    assert 5 == find_longest_gap([20, 1, 2, 7, 8], begin=4, end=7.5)
    assert 0 == find_longest_gap([1], begin=0, end=9)


def test_texts_that_are_paid_for_twice_are_counted() -> None:
    """A text that is sent again counts as doubled, unless a kill explains it."""
    with PaymentProvider() as provider:
        for key, text in [("a", "x"), ("b", "x"), ("b", "y"), ("b", "y"), ("b", "z")]:
            provider.reply({"input": [text]}, {"authorization": f"Bearer {key}"})
        now = time.monotonic()
        report = provider.report({"a": now})
        late = provider.report({"a": now + 2 * SETTLE_SECONDS})
    assert (3, 1, 1) == (report.texts, report.repeated, report.doubled)
    assert (3, 0, 2) == (late.texts, late.repeated, late.doubled)
