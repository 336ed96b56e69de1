"""Which jobs of its own a process takes up again: those that it let go of, never one that is just beginning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from penstock.runtime.takeover import Takeover


class OneJob:
    """An engine that holds one job, marked as running in this process."""

    def __init__(self) -> None:
        self.row = SimpleNamespace(workflow_id="job", status="PENDING", executor_id="me", queue_name="own:me")
        self.reclaimed = 0

    def find(self, _job_id: str) -> Any:
        return self.row

    def reclaim(self, _row: Any, _queue: str) -> bool:
        self.reclaimed += 1
        return False


class Me:
    """The membership of a process that is alone."""

    executor = "me"

    @contextmanager
    def exclusively(self, _name: str) -> Iterator[bool]:
        yield True

    def is_dead(self, _owner: object) -> bool:
        return False


def takeover_of(engine: OneJob, active: set[str], dropped: set[str]) -> Takeover:
    return Takeover(engine, Me(), active.__contains__, dropped)  # type: ignore[arg-type]


def test_a_job_whose_thread_is_about_to_begin_is_not_started_a_second_time() -> None:
    engine, active = OneJob(), set[str]()
    takeover = takeover_of(engine, active, set())
    takeover.adopt("job", asked=False)
    active.add("job")
    takeover.adopt("job", asked=False)
    active.clear()  # it ended, and is asked for again: the count begins anew
    takeover.adopt("job", asked=True)
    assert engine.reclaimed == 0


def test_a_job_that_was_let_go_of_is_taken_up_at_once_and_once() -> None:
    engine, dropped = OneJob(), {"job"}
    takeover = takeover_of(engine, set(), dropped)
    takeover.adopt("job", asked=True)
    takeover.adopt("job", asked=False)
    assert (engine.reclaimed, dropped) == (1, set())


def test_a_job_that_is_found_without_a_thread_twice_is_taken_up() -> None:
    engine = OneJob()
    takeover = takeover_of(engine, set(), set())
    takeover.adopt("job", asked=False)
    takeover.adopt("job", asked=False)
    assert engine.reclaimed == 1
