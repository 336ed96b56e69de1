"""File locks, identities, and the verdict that a worker is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from penstock.base.errors import SettingsError, StoppedError
from penstock.runtime.dbos_engine import open_engine
from penstock.runtime.workers import Executor, Member, check_worker_name, lock_holder, try_lock
from postgres import new_database


def test_a_file_lock_has_one_holder_that_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    lock = try_lock(path)
    assert lock is not None
    assert try_lock(path) is None
    assert lock_holder(path) == os.getpid()
    lock.release()
    lock.release()
    assert lock_holder(path) is None
    again = try_lock(path)
    assert again is not None
    again.release()


def test_a_file_lock_is_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import sys, pathlib; from penstock.runtime.workers import try_lock\n"
    code += "lock = try_lock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    assert try_lock(path) is None
    assert lock_holder(path) == child.pid
    child.kill()
    child.communicate()
    lock = try_lock(path)
    assert lock is not None
    lock.release()


def test_nobody_holds_a_file_that_is_not_there_or_says_nothing(tmp_path: Path) -> None:
    assert lock_holder(tmp_path / "none") is None
    (tmp_path / "odd").write_text("odd")
    assert lock_holder(tmp_path / "odd") is None


def test_an_executor_names_worker_slot_and_duty() -> None:
    executor = Executor.build("main", 3, "ask", "exe_1")
    assert (str(executor), executor.identity, executor.duty) == ("main:3:ask:exe_1", "main:3", "ask")
    assert Executor("local").duty == "work"


@pytest.mark.parametrize("name", ["", "a:b", "a b", "x" * 61])
def test_a_worker_name_that_cannot_be_an_identity_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="no name for a worker"):
        check_worker_name(name)


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    engine = open_engine(new_database())
    yield engine
    engine.dispose()


def member(engine: sa.Engine, number: str, *, worker: str = "main", slot: int | None = None) -> Member:
    made = Member(engine, worker, slot, "work", number, dead_after=10.0)
    made.join()
    return made


def age(engine: sa.Engine, of: Member, seconds: float) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.text("update penstock_workers set beat = beat - make_interval(secs => :seconds) where executor = :of"),
            {"seconds": seconds, "of": str(of.executor)},
        )


def drop(of: Member) -> None:
    """Lose the connection the way a killed process does: the lock is free, the heartbeat stays."""
    assert of._connection is not None
    of._connection.close()


def test_a_worker_is_dead_when_its_lock_is_free_and_its_heartbeat_old(engine: sa.Engine) -> None:
    judge, other = member(engine, "exe_1", worker="judge"), member(engine, "exe_2", worker="other")
    assert not judge.is_dead(other.executor)
    age(engine, other, 11)
    assert not judge.is_dead(other.executor)  # old, but it holds its lock
    drop(other)
    assert judge.is_dead(other.executor)
    assert not judge.is_dead(judge.executor)
    judge.forget(other.executor)
    judge.leave()


def test_a_free_lock_alone_is_no_death_because_the_database_may_have_been_away(engine: sa.Engine) -> None:
    judge, other = member(engine, "exe_1", worker="judge"), member(engine, "exe_2", worker="other")
    drop(other)
    assert not judge.is_dead(other.executor)
    other.beat()  # connects and takes its locks again
    age(engine, other, 11)
    assert not judge.is_dead(other.executor)
    for each in (judge, other):
        each.leave()


def test_a_worker_that_is_frozen_for_long_counts_as_dead_although_it_holds_its_lock(engine: sa.Engine) -> None:
    judge, other = member(engine, "exe_1", worker="judge"), member(engine, "exe_2", worker="other")
    age(engine, other, 41)
    assert judge.is_dead(other.executor)
    for each in (judge, other):
        each.leave()


def test_who_has_the_identity_now_knows_at_once_that_the_one_before_is_dead(engine: sa.Engine) -> None:
    before = member(engine, "exe_1")
    drop(before)
    after = member(engine, "exe_2")
    assert after.executor.identity == before.executor.identity
    assert after.is_dead(before.executor)
    after.leave()


def test_slots_are_given_in_order_and_a_taken_one_is_refused(engine: sa.Engine) -> None:
    first, second = member(engine, "exe_1"), member(engine, "exe_2")
    assert [first.executor.identity, second.executor.identity] == ["main:0", "main:1"]
    with pytest.raises(StoppedError) as caught:
        member(engine, "exe_3", slot=1)
    assert caught.value.code == "worker.duplicate"
    assert f"process {os.getpid()}" in caught.value.message
    second.leave()
    third = member(engine, "exe_4", slot=1)
    third.leave()
    first.leave()
    first.leave()


def test_one_of_several_does_what_is_done_exclusively(engine: sa.Engine) -> None:
    first, second = member(engine, "exe_1"), member(engine, "exe_2")
    with first.exclusively("sweep") as mine, second.exclusively("sweep") as yours:
        assert (mine, yours) == (True, False)
    with second.exclusively("sweep") as yours:
        assert yours
    for each in (first, second):
        each.leave()


def test_a_database_out_of_reach_is_said_so_at_once(tmp_path: Path) -> None:
    engine = open_engine(f"postgresql://nobody:secret-password@/none?host={tmp_path}")
    with pytest.raises(StoppedError) as caught:
        member(engine, "exe_1")
    assert caught.value.code == "worker.no-database"
    assert "secret-password" not in caught.value.message + caught.value.hint
    engine.dispose()
