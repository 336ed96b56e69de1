"""Run events: what a listener hears, and when."""

from __future__ import annotations

import pytest

from penstock.base.clock import ManualClock
from penstock.runtime.progress import Progress, Snapshot


def listen(progress: Progress) -> list[Snapshot]:
    heard: list[Snapshot] = []
    progress.listen(heard.append)
    return heard


def test_listeners_hear_at_most_every_quarter_second() -> None:
    clock = ManualClock()
    progress = Progress(clock, "run_1")
    heard = listen(progress)
    for _ in range(100):
        progress.add(done=1)
        clock.advance(0.01)
    assert 3 <= len(heard) <= 5
    assert heard[-1].done <= progress.done == 100


def test_a_message_and_the_end_are_told_at_once() -> None:
    progress = Progress(ManualClock(), "run_1")
    heard = listen(progress)
    progress.add(done=1)
    progress.add(done=1)
    progress.tell("paused")
    progress.tell(now=True)
    assert [(snapshot.done, snapshot.message) for snapshot in heard] == [(1, ""), (2, "paused"), (2, "")]


def test_rate_and_time_left_come_from_what_was_done() -> None:
    clock = ManualClock()
    progress = Progress(clock, "run_1", budget=5)
    progress.total = 100
    assert progress.snapshot().left is None
    progress.add(done=20, failed=1, cached=3, cost=7)
    clock.advance(10.0)
    snapshot = progress.snapshot()
    assert (snapshot.rate, snapshot.left, snapshot.seconds) == (pytest.approx(2.0), pytest.approx(40.0), 10.0)
    assert (snapshot.run, snapshot.failed, snapshot.cached, snapshot.cost, snapshot.budget) == ("run_1", 1, 3, 7, 5)


def test_without_a_total_no_time_left_is_invented() -> None:
    clock = ManualClock()
    progress = Progress(clock, "run_1")
    progress.add(done=5)
    clock.advance(1.0)
    assert progress.snapshot().left is None


def test_every_listener_hears_the_same() -> None:
    progress = Progress(ManualClock(), "run_1")
    first, second = listen(progress), listen(progress)
    progress.headroom = lambda: "82 % of quota"
    progress.tell(now=True)
    assert first == second
    assert first[0].headroom == "82 % of quota"
