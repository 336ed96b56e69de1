"""What the boards do when files and databases misbehave."""

import asyncio
import sqlite3
from pathlib import Path

import psycopg
import pytest

from penstock.base.clock import ManualClock, SystemClock
from penstock.base.errors import FixError, UnavailableError
from penstock.runtime.governor import Charge, Governor, Pool
from penstock.runtime.quota import MemoryBoard, PostgresBoard, SqliteBoard, Turn
from penstock.vendor.models import Limits
from postgres import new_database

POOL = Pool("account", "model")


def keep(state: bytes | None, now: float) -> tuple[bytes, bytes | None]:
    return state or b"kept", state


def fail(state: bytes | None, now: float) -> tuple[bytes, None]:
    raise RuntimeError("a bug")


async def test_a_file_that_is_no_database_is_one_clear_error(tmp_path: Path):
    path = tmp_path / "quota.sqlite"
    path.write_text("not a database" * 100)
    board = SqliteBoard(path, SystemClock())
    with pytest.raises(FixError) as caught:
        await board.exchange("pool", keep)
    assert caught.value.code == "quota.file-failed"
    assert "quota.sqlite" in caught.value.message
    await board.close()


async def test_a_folder_that_is_missing_is_one_clear_error(tmp_path: Path):
    board = SqliteBoard(tmp_path / "missing" / "quota.sqlite", SystemClock())
    with pytest.raises(FixError):
        await board.exchange("pool", keep)


async def test_a_lock_that_nobody_releases_is_reported_in_the_end(tmp_path: Path):
    clock = ManualClock()
    board = SqliteBoard(tmp_path / "quota.sqlite", clock)
    await board.exchange("pool", keep)
    other = sqlite3.connect(tmp_path / "quota.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(FixError) as caught:
        await clock.run(board.exchange("pool", keep), settle_rounds=2)
    assert "locked" in caught.value.message
    other.close()
    await board.close()


async def test_a_lock_that_is_released_is_waited_for(tmp_path: Path):
    clock = ManualClock()
    board = SqliteBoard(tmp_path / "quota.sqlite", clock)
    await board.exchange("pool", keep)
    other = sqlite3.connect(tmp_path / "quota.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def release() -> None:
        await clock.sleep(1.0)
        other.execute("COMMIT")

    async def both() -> bytes | None:
        done, _ = await asyncio.gather(board.exchange("pool", keep), release())
        return done

    assert await clock.run(both(), settle_rounds=2) == b"kept"
    other.close()
    await board.close()


async def test_a_failed_turn_leaves_the_file_as_it_was(tmp_path: Path):
    board = SqliteBoard(tmp_path / "quota.sqlite", SystemClock())
    await board.exchange("pool", keep)
    with pytest.raises(RuntimeError):
        await board.exchange("pool", fail)
    assert await board.exchange("pool", keep) == b"kept"
    await board.close()


async def test_a_table_that_vanishes_is_one_clear_error(tmp_path: Path):
    board = SqliteBoard(tmp_path / "quota.sqlite", SystemClock())
    await board.exchange("pool", keep)
    other = sqlite3.connect(tmp_path / "quota.sqlite")
    other.execute("DROP TABLE quota")
    other.close()
    with pytest.raises(FixError):
        await board.exchange("pool", keep)
    await board.close()


@pytest.mark.slow
async def test_a_cut_connection_to_the_database_is_made_anew():
    url = new_database()
    board = PostgresBoard(url, SystemClock())
    await board.exchange("pool", keep)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert await board.exchange("pool", keep) == b"kept"
    await board.close()


@pytest.mark.slow
async def test_a_quota_table_emptied_by_a_crash_is_filled_again():
    url = new_database()
    board = PostgresBoard(url, SystemClock())
    await board.exchange("pool", keep)
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("TRUNCATE penstock_quota")
    assert await board.exchange("pool", keep) is None
    assert await board.exchange("pool", keep) == b"kept"
    await board.close()


@pytest.mark.slow
async def test_a_quota_table_that_may_not_be_used_is_one_clear_error():
    url = new_database()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE TABLE penstock_quota (something text)")
    board = PostgresBoard(url, SystemClock())
    with pytest.raises(UnavailableError) as caught:
        await board.exchange("pool", keep)
    assert caught.value.code == "quota.database-failed"
    await board.close()


async def test_a_database_out_of_reach_is_given_up_after_a_minute():
    clock = ManualClock()
    board = PostgresBoard("postgresql://u:secret-word@127.0.0.1:9/x", clock)
    start = clock.monotonic()
    with pytest.raises(UnavailableError) as caught:
        await clock.run(board.exchange("pool", keep), settle_rounds=2)
    assert clock.monotonic() - start >= 60.0
    assert "secret-word" not in caught.value.message


class BrokenBoard(MemoryBoard):
    """Fails until it is mended."""

    broken = True

    async def exchange(self, pool: str, turn: Turn[object]) -> object:
        if self.broken:
            raise FixError("the board is broken", code="quota.file-failed")
        return await super().exchange(pool, turn)


def test_whoever_waits_hears_of_a_broken_board_and_later_calls_work_again():
    clock = ManualClock()
    board = BrokenBoard(clock)

    async def run() -> None:
        governor = Governor(clock, board, lambda _: Limits(600, 60_000))
        calls = [governor.acquire(POOL, Charge(1, 10), flow=name) for name in ("a", "a", "b")]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, FixError) for result in results)
        board.broken = False
        governor.release(await governor.acquire(POOL, Charge(1, 10)))
        await governor.close()

    asyncio.run(clock.run(run()))


def test_a_state_that_another_release_wrote_is_learnt_anew():
    clock = ManualClock()
    board = MemoryBoard(clock)

    async def run() -> None:
        await board.exchange("account\nmodel", lambda *_: (b"\x93nonsense", None))
        governor = Governor(clock, board, lambda _: Limits(600, 60_000))
        governor.release(await governor.acquire(POOL, Charge(1, 10)))
        await governor.close()

    asyncio.run(clock.run(run()))


def test_closing_cancels_who_still_waits():
    clock = ManualClock()

    async def run() -> None:
        governor = Governor(clock, MemoryBoard(clock), lambda _: Limits(1, 60_000))
        calls = [asyncio.create_task(governor.acquire(POOL, Charge(1, 10))) for _ in range(5)]
        await clock.sleep(1.0)
        await governor.close()
        await asyncio.gather(*calls, return_exceptions=True)
        assert sum(call.cancelled() for call in calls) == 4

    asyncio.run(clock.run(run()))
