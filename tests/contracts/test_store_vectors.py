"""Vectors in the store, on a SQLite file and on a real PostgreSQL."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from books import put_aside, query
from penstock.base.clock import ManualClock
from penstock.base.types import Usage
from penstock.runtime.answers import Answers
from penstock.runtime.ask import Answer, Ask
from penstock.runtime.ledger import Ledger, Settlement
from penstock.runtime.store import Store
from penstock.runtime.vectors import addresses_of, split_answer
from stores import KINDS, new_place

DAY = 86_400.0


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


def request_for(*texts: str, **rest: object) -> Ask:
    body = {"model": "m", "input": list(texts), "encoding_format": "base64", **rest}
    return Ask("embed", 1, "/embeddings", "m", body, 5, reply="vectors")


async def save(store: Store, *texts: str, number: float = 1.0, cost: int | None = 100) -> None:
    now = store.clock.now()
    ask = request_for(*texts)
    rows = [struct.pack("<2f", number, at) for at, _ in enumerate(texts)]
    settlement = Settlement(await put_aside(Ledger(store, store.clock), 100), "done", now, cost, Usage(5))
    answer = Answer(rows, Usage(5), cost, "m", "default", "req_1", now)
    bought = split_answer(ask, "acc", settlement, answer, store.next_number)
    await Answers(store, store.clock).save_vectors(bought)


async def held(store: Store, *texts: str, keep_days: float | None = None) -> dict[str, tuple[float, ...]]:
    keys = addresses_of(request_for(*texts), "acc")
    found = await Answers(store, store.clock, keep_days).get_vectors(keys)
    return {text: struct.unpack("<2f", found[key].data) for text, key in zip(texts, keys, strict=True) if key in found}


async def count(store: Store, table: str) -> int:
    return int((await query(store, f"select count(*) from {table}"))[0][0])


async def change(store: Store, statement: str) -> None:
    def write(tx: object, items: object) -> list[None]:
        tx._raw.execute(statement)  # type: ignore[attr-defined]
        return [None]

    await store.batch(write, None)


async def test_each_text_is_found_by_itself_in_whatever_call_it_was_bought(store: Store) -> None:
    await save(store, *(f"text {at}" for at in range(1_200)))
    assert await held(store, "text 700", "new", "text 3") == {"text 700": (1.0, 700.0), "text 3": (1.0, 3.0)}
    assert await held(store) == {}


async def test_a_call_is_settled_with_its_vectors_and_each_bears_its_share(store: Store) -> None:
    await save(store, "aaa", "a", cost=100)
    assert (await query(store, "select state, cost from calls")) == [("done", 100)]
    found = await Answers(store, store.clock).get_vectors(addresses_of(request_for("aaa", "a"), "acc"))
    assert sorted(one.cost or 0 for one in found.values()) == [25, 75]
    await save(store, "b", cost=None)
    (unknown,) = (await Answers(store, store.clock).get_vectors(addresses_of(request_for("b"), "acc"))).values()
    assert unknown.cost is None


async def test_a_damaged_vector_counts_as_absent_and_is_replaced(store: Store) -> None:
    await save(store, "a", "b")
    await change(store, "update vectors set body = substr(body, 1, 7)")
    assert await held(store, "a", "b") == {}
    await save(store, "a", number=2.0)
    assert await held(store, "a", "b") == {"a": (2.0, 0.0)}
    assert await count(store, "vectors") == 2


async def test_what_is_bought_twice_is_kept_once(store: Store) -> None:
    await save(store, "a", "b")
    await save(store, "b", "c", number=3.0)
    assert await held(store, "a", "b", "c") == {"a": (1.0, 0.0), "b": (3.0, 0.0), "c": (3.0, 1.0)}
    assert await count(store, "vectors") == await count(store, "vector_keys") == 3


async def test_forgotten_vectors_are_gone_and_the_others_stay(store: Store) -> None:
    await save(store, "a", "b", "c")
    answers = Answers(store, store.clock)
    assert await answers.forget([*addresses_of(request_for("a", "c", "x"), "acc")]) == 2
    assert await held(store, "a", "b", "c") == {"b": (1.0, 1.0)}
    assert await count(store, "vectors") == await count(store, "vector_keys") == 1


async def test_vectors_expire_like_answers_and_are_purged_and_counted(store: Store) -> None:
    assert isinstance(store.clock, ManualClock)
    await save(store, "old")
    store.clock.advance(3 * DAY)
    await save(store, "new")
    assert (await store.read("count_answers"))[0][:2] == (2, 16)
    assert await held(store, "old", "new", keep_days=2) == {"new": (1.0, 0.0)}
    assert await Answers(store, store.clock, 2).purge_expired() == 1
    assert await count(store, "vectors") == await count(store, "vector_keys") == 1


def test_an_address_is_made_of_account_model_size_and_text_only() -> None:
    (first,) = addresses_of(request_for("a"), "acc")
    assert addresses_of(request_for("b", "a", encoding_format="float"), "acc")[1] == first
    others = [
        addresses_of(request_for("a"), "other")[0],
        addresses_of(request_for("a", dimensions=8), "acc")[0],
        addresses_of(request_for("a", model="n"), "acc")[0],
        addresses_of(request_for("A"), "acc")[0],
    ]
    assert len({first, *others}) == 5
