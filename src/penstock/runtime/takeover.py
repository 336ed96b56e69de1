"""Decides which jobs nobody executes any more, and brings them to a living worker.

The engine leaves the work of a dead process where it is. Each start executes under a name
of its own, so nothing is taken up twice by accident; taking over is always done here. A
false verdict costs a repeated step at most: the engine lets only the newest owner record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.runtime.workers import Executor, Membership

if TYPE_CHECKING:
    from penstock.runtime.dbos_engine import DbosEngine, Row

_ENDED = ("SUCCESS", "ERROR")


class Takeover:
    """The rules of one process; `is_active` tells whether a job runs in it, `dropped` which it let go of."""

    def __init__(
        self, engine: DbosEngine, membership: Membership, is_active: Callable[[str], bool], dropped: set[str]
    ) -> None:
        self._engine = engine
        self._membership = membership
        self._is_active = is_active
        self._dropped = dropped
        self._suspects: set[str] = set()
        self._unstarted: set[str] = set()

    @property
    def own_queue(self) -> str:
        """The queue that only this process listens to, for jobs that it must execute itself."""
        return f"own:{self._membership.executor}"

    def clear_old_queues(self) -> None:
        """Remove the queues of this identity's earlier starts; what waited there for a worker goes to `default`."""
        mine = f"own:{self._membership.executor.identity}:"
        for queue in self._engine.client.list_queues():
            if queue.name.startswith(mine) and queue.name != self.own_queue:
                if Executor(queue.name.removeprefix("own:")).duty == "work":
                    for row in self._engine.waiting_in(queue.name):
                        self._engine.resume(row.workflow_id, "default")
                self._engine.client.delete_queue(queue.name)

    def sweep(self) -> None:
        """Put the jobs of dead workers, and jobs that this one lost track of, back in their queues."""
        with self._membership.exclusively("sweep") as elected:
            mine: set[str] = set()
            dead: dict[Executor, bool] = {}
            for row in self._engine.running():
                owner = Executor(row.executor_id or "")
                if owner == self._membership.executor:
                    if not self._is_active(row.workflow_id):
                        mine.add(row.workflow_id)
                        if row.workflow_id in self._suspects:  # twice in a row: no start that is just under way
                            self._engine.reclaim(row, "default")
                elif elected and owner.duty == "work":
                    if owner not in dead:
                        dead[owner] = self._membership.is_dead(owner)
                    if dead[owner]:
                        self._engine.reclaim(row, "default")
            self._suspects = mine
            for owner, is_dead in dead.items():
                if is_dead:
                    self._membership.forget(owner)

    def adopt(self, job_id: str, *, asked: bool) -> None:
        """Have this process execute a job that nobody executes.

        `asked` says that a person or program asks for it just now: then a failed, cancelled
        or waiting job is taken up too, not only an abandoned one.
        """
        with self._membership.exclusively(f"job {job_id}") as alone:
            if not alone:
                return
            row = self._engine.find(job_id)
            if row.status == "PENDING":
                if self._is_abandoned(row) and self._engine.reclaim(row, self.own_queue) and row.queue_name is not None:
                    self._engine.resume(job_id, self.own_queue)
            elif asked and row.status == "ERROR":
                self._engine.retry(job_id, self.own_queue)
            elif asked and row.status not in _ENDED and row.queue_name != self.own_queue:
                self._engine.resume(job_id, self.own_queue)

    def is_lost(self, row: Row) -> bool:
        """Tell whether a job counts as running in this process although it does not."""
        return (
            row.status == "PENDING"
            and row.executor_id == self._membership.executor
            and not self._is_active(row.workflow_id)
        )

    def _is_abandoned(self, row: Row) -> bool:
        if row.executor_id == self._membership.executor:
            return self._is_let_go(row.workflow_id)
        return self._membership.is_dead(Executor(row.executor_id or ""))

    def _is_let_go(self, job_id: str) -> bool:
        """Tell whether this process no longer executes a job of its own, as opposed to being about to begin it.

        The engine marks a job as running before its thread begins. So a job that was not seen to be let go
        of counts as abandoned only when it is found without a thread twice in a row, a second or more apart.
        """
        if self._is_active(job_id):
            self._unstarted.discard(job_id)
            return False
        if job_id in self._dropped or job_id in self._unstarted:
            self._dropped.discard(job_id)  # its next start is on its way
            self._unstarted.discard(job_id)
            return True
        self._unstarted.add(job_id)
        return False
