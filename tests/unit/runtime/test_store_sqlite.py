"""A store on a file that is full, locked, damaged or in the wrong place."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.base.clock import SystemClock
from penstock.base.errors import FixError, PenstockError, StoppedError
from penstock.runtime import store as store_module
from penstock.runtime.store import Store
from stores import names, row, write_row


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(tmp_path / "store.sqlite", SystemClock(), "test")
    yield store
    await store.close()


def run_on_writer(store: Store, statement: str) -> None:
    store._writer._raw.execute(statement)  # type: ignore[attr-defined]


async def test_a_full_disk_stops_everybody_who_waits_and_the_work_goes_on_when_there_is_room(store: Store) -> None:
    await store.batch(write_row, row("before"))
    run_on_writer(store, "pragma max_page_count = 1")
    attempts = (store.batch(write_row, row(f"r{n}" * 500)) for n in range(200))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(result, StoppedError) and result.code == "store.full" for result in results)
    assert await names(store) == {"before"}
    run_on_writer(store, "pragma max_page_count = 100000")
    await store.batch(write_row, row("after"))
    assert await names(store) == {"before", "after"}


async def test_a_store_can_be_closed_on_a_full_disk_and_opened_again(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "store.sqlite", SystemClock())
    run_on_writer(store, "pragma query_only = on")
    with pytest.raises(StoppedError):
        await store.batch(write_row, row("never"))
    await store.close()
    again = await Store.open(tmp_path / "store.sqlite", SystemClock())
    assert await again.dead_sessions() == [store.session]
    await again.close()


async def test_a_store_that_another_program_locks_is_waited_for(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("begin immediate")
    waiting = asyncio.ensure_future(store.batch(write_row, row("patient")))
    assert await names(store) == set()  # reading goes on meanwhile
    other.execute("commit")
    other.close()
    await waiting
    assert await names(store) == {"patient"}


async def test_a_lock_that_is_never_let_go_stops_all_who_wait_at_once(store: Store, tmp_path: Path) -> None:
    run_on_writer(store, "pragma busy_timeout = 50")
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    other.execute("begin immediate")
    statements: list[str] = []
    store._writer._raw.set_trace_callback(statements.append)  # type: ignore[attr-defined]
    attempts = (store.batch(write_row, row(f"r{n}")) for n in range(300))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    store._writer._raw.set_trace_callback(None)  # type: ignore[attr-defined]
    assert len(statements) < 10  # they do not wait one after the other
    other.close()
    assert all(isinstance(result, StoppedError) and result.code == "store.locked" for result in results)
    await store.batch(write_row, row("after"))
    assert await names(store) == {"after"}


async def test_a_store_that_is_locked_while_it_is_opened_is_not_called_corrupt(tmp_path: Path) -> None:
    await (await Store.open(tmp_path / "store.sqlite", SystemClock())).close()
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    opening = asyncio.ensure_future(Store.open(tmp_path / "store.sqlite", SystemClock()))
    done, _ = await asyncio.wait([opening], timeout=0.2)
    assert not done
    other.execute("commit")
    other.close()
    await (await opening).close()


@pytest.mark.parametrize("size", [3, 100, 100_000])
async def test_a_file_that_is_no_store_is_left_alone_and_named(tmp_path: Path, size: int) -> None:
    place = tmp_path / "store.sqlite"
    content = b"This is not a database. " * (size // 24 + 1)
    place.write_bytes(content)
    with pytest.raises(FixError) as raised:
        await Store.open(place, SystemClock())
    assert raised.value.code == "store.corrupt"
    assert "backup" in raised.value.hint
    assert place.read_bytes() == content


async def read_names(place: Path) -> set[str]:
    store = await Store.open(place, SystemClock())
    try:
        return await names(store)
    finally:
        await store.close()


async def test_a_damaged_page_is_reported_as_damage(tmp_path: Path) -> None:
    place = tmp_path / "store.sqlite"
    store = await Store.open(place, SystemClock())
    await asyncio.gather(*(store.batch(write_row, row(f"r{n}")) for n in range(2000)))
    await store.close()
    raw = place.read_bytes()
    place.write_bytes(raw[:40960] + os.urandom(len(raw) - 40960))
    with pytest.raises(FixError) as raised:
        await read_names(place)
    assert raised.value.code == "store.corrupt"


async def test_a_place_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoppedError) as raised:
        await Store.open(tmp_path / "file" / "store.sqlite", SystemClock())
    assert raised.value.code == "store.unusable"
    assert str(tmp_path) in raised.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_leave_to_write_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoppedError) as raised:
        asyncio.run(Store.open(tmp_path / "store.sqlite", SystemClock()))
    tmp_path.chmod(0o700)
    assert raised.value.code == "store.unusable"


@pytest.mark.parametrize("place", ["mysql://user:hunter22@host/db", "redis://host"])
async def test_a_database_of_another_kind_is_refused_without_its_password(place: str) -> None:
    with pytest.raises(FixError) as raised:
        await Store.open(place, SystemClock())
    assert raised.value.code == "store.unknown-kind"
    assert "hunter22" not in raised.value.message


async def test_a_sqlite_url_names_a_file(tmp_path: Path) -> None:
    await (await Store.open(f"sqlite:///{tmp_path}/own.sqlite", SystemClock())).close()
    assert (tmp_path / "own.sqlite").is_file()


async def test_no_lock_files_are_left_behind(tmp_path: Path) -> None:
    for _ in range(3):
        await (await Store.open(tmp_path / "store.sqlite", SystemClock())).close()
    assert [name for name in os.listdir(tmp_path) if name.endswith(".lock")] == []  # noqa: PTH208


CHILD = """
import asyncio, sys
from pathlib import Path
from stores import row, write_row
from penstock.base.clock import SystemClock
from penstock.base.errors import PenstockError
from penstock.runtime import store as store_module
from penstock.runtime.store import Store

async def main():
    store = await Store.open(Path(sys.argv[1]), SystemClock())
    try:
        for n in range(1000):
            await store.batch(write_row, row(f"r{n}" * 1000))
    except PenstockError as error:
        print(error.code, n)
    finally:
        await store.close()

asyncio.run(main())
"""


async def test_a_file_that_may_not_grow_stops_the_work_and_keeps_what_was_confirmed(tmp_path: Path) -> None:
    place = tmp_path / "store.sqlite"
    child = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", CHILD, str(place)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
    )
    assert child.returncode == 0, child.stderr
    code, written = child.stdout.split()
    assert code in ("store.full", "store.unusable")
    store = await Store.open(place, SystemClock())
    assert len(await names(store)) == int(written)
    await store.batch(write_row, row("goes on"))
    await store.close()


def test_every_store_error_says_what_to_do() -> None:
    from penstock.runtime import dialects

    errors: list[PenstockError] = [dialects.full("x"), dialects.locked("x"), dialects.bad_value("x", "y")]
    assert all(error.hint for error in errors)


def test_migrations_are_numbered_without_gaps_and_twins() -> None:
    folder = Path(store_module.__file__).parent / "migrations"
    numbers = sorted(int(path.name[:4]) for path in folder.glob("*.sql"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_no_two_queries_have_the_same_name() -> None:
    files = Path(store_module.__file__).parent.glob("queries*.sql")
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    found = [line for line in lines if line.startswith("-- name:")]
    assert len(found) == len(set(found))
