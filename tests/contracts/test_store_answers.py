"""What every answer store does, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from books import put_aside, query
from penstock.base.clock import ManualClock
from penstock.base.types import Usage
from penstock.runtime.answers import Answers, Bought, pack, unpack
from penstock.runtime.ask import Answer
from penstock.runtime.ledger import Ledger, Settlement
from penstock.runtime.store import Store
from stores import KINDS, new_place

DAY = 86_400.0


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


async def save(store: Store, name: str, text: str = "yes") -> Answer:
    now = store.clock.now()
    held = await put_aside(Ledger(store, store.clock), 10)
    answer = Answer({"text": text}, Usage(10, 0, 0, 2), 5, "m", "default", "req_1", now)
    settlement = Settlement(held, "done", now, 5, answer.usage)
    await Answers(store, store.clock).save(Bought(settlement, name.encode() * 4, answer))
    return answer


async def held(store: Store, *names: str, keep_days: float | None = None) -> dict[str, str]:
    answers = Answers(store, store.clock, keep_days)
    found = await answers.get_many([name.encode() * 4 for name in names])
    assert all(answer.cached for answer in found.values())
    return {key.decode()[: len(key) // 4]: answer.content["text"] for key, answer in found.items()}


async def count(store: Store, table: str) -> int:
    return int((await query(store, f"select count(*) from {table}"))[0][0])


async def damage(store: Store, value: str) -> None:
    def write(tx: object, items: object) -> list[None]:
        tx._raw.execute(f"update answers set body = {value}")  # type: ignore[attr-defined]
        return [None]

    await store.batch(write, None)


async def test_many_are_looked_up_at_once(store: Store) -> None:
    await asyncio.gather(*(save(store, f"k{n}", str(n)) for n in range(1200)))
    names = [f"k{n}" for n in range(1200)]
    assert await held(store, *names, "missing") == {f"k{n}": str(n) for n in range(1200)}
    assert await held(store) == {}


@pytest.mark.parametrize("body", ["substr(body, 1, 9)", "''", "replace_all"])
async def test_a_damaged_answer_counts_as_absent_and_is_replaced_when_bought_again(store: Store, body: str) -> None:
    await save(store, "k", "old")
    is_file = "://" not in store.place
    values = {
        "''": "x''" if is_file else "''::bytea",
        "replace_all": "x'00112233'" if is_file else "'\\x00112233'::bytea",
    }
    await damage(store, values.get(body, body))
    assert await held(store, "k") == {}
    await save(store, "k", "new")
    assert await held(store, "k") == {"k": "new"}
    assert await count(store, "answers") == 1


async def test_answers_expire_are_bought_again_and_purged(store: Store) -> None:
    clock: ManualClock = store.clock  # type: ignore[assignment]
    await save(store, "old")
    clock.advance(10 * DAY)
    await save(store, "new")
    assert await held(store, "old", "new", keep_days=5) == {"new": "yes"}
    assert await held(store, "old", "new") == {"old": "yes", "new": "yes"}
    assert await Answers(store, clock).purge_expired() == 0
    assert await Answers(store, clock, 5).purge_expired() == 1
    assert await held(store, "old", "new") == {"new": "yes"}
    assert await count(store, "answers") == await count(store, "answer_keys") == 1


async def test_what_is_forgotten_is_gone_for_good(store: Store) -> None:
    secret = "My name is Ada Lovelace " * 4
    await save(store, "k", secret)
    await save(store, "k", secret)  # bought a second time, as after an expiry
    await save(store, "other", "stays")
    answers = Answers(store, store.clock)
    assert await answers.forget([b"k" * 4, b"missing"]) == 1
    assert await answers.forget([b"k" * 4]) == 0
    assert await answers.forget([]) == 0
    assert await held(store, "k", "other") == {"other": "stays"}
    assert await count(store, "answers") == 1
    if "://" not in store.place:
        place = Path(store.place)
        await store.close()
        assert all(b"Lovelace" not in path.read_bytes() for path in place.parent.glob("store.sqlite*"))


async def test_answer_and_settlement_are_one_transaction(store: Store) -> None:
    reservation = await put_aside(Ledger(store, store.clock), 10)
    broken = Answer({"text": "\ud83d"}, Usage(), 5, "m", "default", "", 0.0)
    settlement = Settlement(reservation, "done", 0.0, 5)
    with pytest.raises(Exception, match="surrogates"):
        await Answers(store, store.clock).save(Bought(settlement, b"k", broken))
    assert await query(store, "select state from calls") == [("sent",)]
    assert await count(store, "answer_keys") == 0


def test_large_numbers_and_long_texts_survive_packing() -> None:
    for content in ({"n": 10**40, "f": 0.1}, {"t": "ä€😀" * 5000}, [], None, {"a": {"b": [1, None, True]}}):
        answer = Answer(content, Usage(1, 2, 3, 4, 5), None, "m", "t", "r", 1.5)
        stored = pack(answer)
        found = unpack(stored)
        assert found is not None
        assert found.cached
        assert found.content == content
        assert found.usage == answer.usage
