from __future__ import annotations

import asyncio

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError, FixError, RejectedError, UnavailableError
from penstock.runtime.effects import Effects
from penstock.runtime.store import Store
from stores import KINDS, new_place

PLACE = "brevo:org-1"


class Vendor:
    """A vendor that makes drafts, and may not say so."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.looked = 0
        self.failure: BaseException | None = None
        self.is_done_anyway = False

    async def make(self) -> str:
        if self.failure is None or self.is_done_anyway:
            self.made.append(f"draft-{len(self.made)}")
        if self.failure is not None:
            raise self.failure
        return self.made[-1]

    async def find(self) -> str | None:
        self.looked += 1
        return self.made[-1] if self.made else None


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    return new_place(request.param, tmp_path)


@pytest.fixture
async def store(place):
    store = await Store.open(place, ManualClock())
    yield store
    await store.close()


def draft(store: Store, vendor: Vendor, name: str = "spring") -> asyncio.Future:
    return Effects(store, store.clock, PLACE).once("draft", name, vendor.make, vendor.find, {"subject": "Spring"})


async def test_what_was_made_is_not_made_again(store):
    vendor = Vendor()
    assert [await draft(store, vendor) for _ in range(3)] == ["draft-0"] * 3
    assert (vendor.made, vendor.looked) == (["draft-0"], 0)
    (known,) = await Effects(store, store.clock, PLACE).known("draft")
    assert (known.name, known.state, known.receipt, known.fields) == (
        "spring", "confirmed", "draft-0", {"subject": "Spring"}
    )  # fmt: skip


async def test_an_account_knows_nothing_of_what_was_made_in_another(store):
    vendor = Vendor()
    await draft(store, vendor)
    await Effects(store, store.clock, "brevo:org-2").once("draft", "spring", vendor.make, vendor.find)
    assert len(vendor.made) == 2


@pytest.mark.parametrize("is_done_anyway", [True, False])
async def test_a_lost_answer_is_looked_up_before_anything_is_repeated(store, is_done_anyway):
    vendor = Vendor()
    vendor.failure, vendor.is_done_anyway = UnavailableError("cut", sent=True), is_done_anyway
    with pytest.raises(UnavailableError):
        await draft(store, vendor)
    assert (await Effects(store, store.clock, PLACE).get("draft", "spring")).state == "unknown"
    vendor.failure = None
    assert await draft(store, vendor) == "draft-0"
    assert (len(vendor.made), vendor.looked) == (1, 1)


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (UnavailableError("no connection", sent=False), "planned"),
        (AccessError("no"), "planned"),
        (RejectedError("no"), "rejected"),
    ],
)
async def test_what_was_certainly_not_done_is_done_later_without_a_look(store, failure, state):
    vendor = Vendor()
    vendor.failure = failure
    with pytest.raises(type(failure)):
        await draft(store, vendor)
    assert (await Effects(store, store.clock, PLACE).get("draft", "spring")).state == state
    vendor.failure = None
    assert await draft(store, vendor) == "draft-0"
    assert vendor.looked == 0


async def test_a_look_that_fails_leaves_the_outcome_unknown(store):
    vendor = Vendor()
    vendor.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await draft(store, vendor)

    async def find() -> str | None:
        raise UnavailableError("down")

    effects = Effects(store, store.clock, PLACE)
    with pytest.raises(UnavailableError):
        await effects.once("draft", "spring", vendor.make, find)
    vendor.failure = None
    assert await draft(store, vendor) == "draft-0"
    assert vendor.looked == 1


async def test_two_at_once_make_one(store):
    vendor = Vendor()
    begun, go = asyncio.Event(), asyncio.Event()

    async def make() -> str:
        begun.set()
        await go.wait()
        return await vendor.make()

    effects = Effects(store, store.clock, PLACE)
    first = asyncio.create_task(effects.once("draft", "spring", make, vendor.find))
    await begun.wait()
    with pytest.raises(FixError, match="being made already"):
        await draft(store, vendor)
    go.set()
    assert await first == "draft-0"
    assert await draft(store, vendor) == "draft-0"


async def test_what_a_dead_process_sent_is_looked_up(place):
    vendor = Vendor()
    first = await Store.open(place, ManualClock())
    effects = Effects(first, first.clock, PLACE)
    await effects.send(await effects.plan("draft", "spring"))
    await vendor.make()
    await first.close()  # the process ends without a word about the draft
    second = await Store.open(place, ManualClock(seed=8))
    assert await draft(second, vendor) == "draft-0"
    assert (len(vendor.made), vendor.looked) == (1, 1)
    await second.close()


async def test_a_forgotten_effect_is_made_anew(store):
    vendor = Vendor()
    await draft(store, vendor)
    await Effects(store, store.clock, PLACE).forget("draft", "spring")
    assert await draft(store, vendor) == "draft-1"
