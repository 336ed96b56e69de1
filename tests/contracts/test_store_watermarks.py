"""Watermarks of flows, and the closing of records that are gone, on every database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from penstock.base.clock import ManualClock
from penstock.flows.kept import Effect, FinishedPage, Item, PlannedWrites
from penstock.flows.state import FlowState
from penstock.runtime.store import Store
from penstock.runtime.watermarks import Gone, Watermark, Watermarks
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


MARK = Watermark("basis", {"watermark": 5}, 12, 100.0, 90.0)


async def test_a_watermark_belongs_to_a_flow_and_a_source(store):
    marks, other = Watermarks(store, "one"), Watermarks(store, "two")
    await marks.save("brevo:a/contacts", MARK)
    assert await marks.find("brevo:a/contacts") == MARK
    assert await marks.find("brevo:b/contacts") is None
    assert await other.find("brevo:a/contacts") is None
    later = msgspec.structs.replace(MARK, place={"watermark": 9}, total=None)
    await marks.save("brevo:a/contacts", later)
    assert await marks.find("brevo:a/contacts") == later


async def test_what_runs_noted_is_forgotten_apart_and_together(store):
    marks = Watermarks(store, "one")
    await marks.save("brevo:a/contacts", MARK)
    await marks.save("run r1", MARK)
    await marks.forget_runs()
    assert await marks.find("run r1") is None
    assert await marks.find("brevo:a/contacts") == MARK
    await marks.forget()
    assert await marks.find("brevo:a/contacts") is None


async def test_objections_are_counted_since_a_moment(store):
    assert await Watermarks(store, "one").count_objections(0.0) == 0


async def test_of_a_record_that_is_gone_nothing_stays_but_what_happened(store):
    state, marks = FlowState(store, "one"), Watermarks(store, "one")
    emails = [f"p{number}@example.com" for number in range(5)]
    effects = [
        Effect(kind, f"email={email}{end}", {"email": email}, {"list": "fans", "member": True}, b"w")
        for email in emails
        for kind, end in (("attributes", ""), ("list", "|fans"), ("event", "|print"))
    ]
    await state.finish_page(
        FinishedPage(
            run="r",
            items=[
                Item(email, email, b"f" * 16, "done", {}, None, "", f"Brevo contact {email[1]}") for email in emails
            ],
            letters=[],
            writes=[PlannedWrites("brevo:a", [], lambda _items: (effects, []))],
            at=1.0,
        )
    )
    assert [key async for page in marks.kept_keys(2) for key, _ in page] == emails
    gone = [Gone(email, (f"email={email}", f"email={email}|fans")) for email in emails[1:3]]
    await marks.close(gone, 2.0)
    left = [emails[0], *emails[3:]]
    assert [key async for page in marks.kept_keys() for key, _ in page] == left
    rows = await store.look(
        lambda tx: tx.fetch_keys("known_effects", [effect.target for effect in effects], flow="one", sink="brevo:a")
    )
    assert sorted((kind, target) for kind, target, *_ in rows) == sorted(
        (effect.kind, effect.target) for effect in effects if effect.kind == "event" or effect.match["email"] in left
    )
