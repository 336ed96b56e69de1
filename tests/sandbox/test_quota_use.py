"""The governor against a limiter that enforces exactly, over simulated time."""

import asyncio
from pathlib import Path

import pytest
from quota_run import POOL, Trial

from penstock.base.clock import SystemClock
from penstock.runtime.governor import Governor
from penstock.runtime.quota import MemoryBoard, PostgresBoard, SqliteBoard
from penstock.vendor.models import Limits
from postgres import new_database

READINGS = {"whole minute": (60.0, False), "one second": (1.0, False), "one second, refused count": (1.0, True)}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("work", ["mixed", "short"])
@pytest.mark.parametrize("error", [0.85, 1.0, 1.15])
def test_the_quota_is_used_and_nearly_nothing_is_refused(reading: str, work: str, error: float):
    depth, count_refused = READINGS[reading]
    trial = Trial(depth=depth, count_refused=count_refused, work=work, error=error, seconds=45.0).run()
    assert trial.used >= 0.99
    assert trial.refused_share <= 0.001
    assert trial.requests == trial.wanted


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noisy_estimates_cost_little(reading: str, seed: int):
    depth, count_refused = READINGS[reading]
    trial = Trial(depth=depth, count_refused=count_refused, noise=0.25, seconds=45.0, seed=seed).run()
    assert trial.used >= 0.98
    assert trial.refused_share <= 0.002


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("processes", [2, 4])
def test_several_governors_share_one_board(reading: str, processes: int):
    depth, count_refused = READINGS[reading]
    trial = Trial(depth=depth, count_refused=count_refused, processes=processes, seconds=45.0).run()
    assert trial.used >= 0.98
    assert trial.refused_share <= 0.001
    assert trial.requests == trial.wanted


@pytest.mark.parametrize("expected", [Limits(), Limits(500, 30_000), Limits(15_000, 40_000_000)])
@pytest.mark.parametrize("work", ["mixed", "short"])
def test_a_wrong_expectation_is_corrected_by_the_first_replies(expected: Limits, work: str):
    trial = Trial(expected=expected, work=work, seconds=45.0).run()
    assert trial.used >= 0.98
    assert trial.refused <= 5


@pytest.mark.parametrize("latency", [0.05, 3.0])
def test_the_time_that_answers_take_does_not_matter(latency: float):
    trial = Trial(latency=latency, workers=256, seconds=60.0, work="mixed").run()
    assert trial.used >= 0.97
    assert trial.refused_share <= 0.001


def test_without_headers_a_known_limit_is_kept():
    trial = Trial(headers=False, expected=Limits(3000, 400_000), seconds=45.0).run()
    assert trial.used >= 0.97
    assert trial.refused_share <= 0.001


def test_without_headers_and_expectation_refusals_find_a_rate():
    trial = Trial(headers=False, expected=Limits(6000, 800_000), seconds=300.0).run()
    assert trial.used >= 0.6
    assert trial.refused_share <= 0.02
    assert trial.requests == trial.wanted


def test_a_run_after_a_pause_does_not_burst_over_the_limit():
    trial = Trial(seconds=5.0)

    async def twice() -> None:
        board = MemoryBoard(trial.clock)
        await trial.simulate(board)
        await trial.clock.sleep(120.0)
        await trial.simulate(board)

    asyncio.run(trial.clock.run(twice()))
    assert trial.refused == 0


def test_display_says_what_is_used():
    trial = Trial(seconds=20.0).run()
    shown = trial.governors[0].headroom(POOL)
    assert shown["used"] > 0.7
    assert shown["limits"]["tokens"]["known_from"] == "headers"


def test_a_file_carries_the_state_to_the_next_process(tmp_path: Path):
    trial = Trial(seconds=3.0)
    board = SqliteBoard(tmp_path / "quota.sqlite", trial.clock)
    trial.run(board)
    again = SqliteBoard(tmp_path / "quota.sqlite", trial.clock)
    states = asyncio.run(again.exchange("account\nmodel", lambda state, _: (state or b"", state)))
    asyncio.run(again.close())
    assert states
    assert trial.refused == 0


async def test_two_connections_to_one_file_take_turns(tmp_path: Path):
    await take_turns(*(SqliteBoard(tmp_path / "quota.sqlite", SystemClock()) for _ in range(3)))


@pytest.mark.slow
async def test_two_connections_to_one_table_take_turns():
    url = new_database()
    await take_turns(*(PostgresBoard(url, SystemClock()) for _ in range(3)))


async def take_turns(*boards: SqliteBoard | PostgresBoard) -> None:
    """Count to 60 on one board from several connections at once; nothing may be lost."""

    def count(state: bytes | None, now: float) -> tuple[bytes, float]:
        return b"%d" % (int(state or b"0") + 1), now

    async def work(board: SqliteBoard | PostgresBoard) -> list[float]:
        return [await board.exchange("pool", count) for _ in range(20)]

    times = await asyncio.gather(*(work(board) for board in boards))
    assert all(series == sorted(series) for series in times)
    total = await boards[0].exchange("pool", lambda state, _: (state or b"", state))
    assert total == b"60"
    for board in boards:
        await board.close()


def test_a_worker_that_dies_takes_nothing_with_it():
    trial = Trial(seconds=60.0, processes=2)

    async def kill(board: MemoryBoard) -> None:
        await trial.clock.sleep(20.0)
        dead = trial.governors[0]
        for lane in dead._lanes.values():
            assert lane._task is not None
            lane._task.cancel()

    async def run() -> None:
        board = MemoryBoard(trial.clock)
        trial.governors = [Governor(trial.clock, board, lambda _: trial.expected) for _ in range(2)]
        tasks = [asyncio.create_task(trial.work_on(governor)) for governor in trial.governors for _ in range(32)]
        await kill(board)
        await asyncio.gather(*tasks[32:])
        for task in tasks[:32]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(trial.clock.run(run(), settle_rounds=8))
    assert trial.used >= 0.97
    assert trial.refused == 0
