"""Events of a forgotten person: their bodies go, those that waited are not sent, and the counts stay true."""

from hashlib import sha256
from pathlib import Path

import pytest

from outboxes import Desk, open_desk
from penstock.events.entries import Entry
from penstock.privacy import Privacy
from stores import KINDS, new_place

ANNA = "anna@example.com"


def entry_about(desk: Desk, event_id: str, person: str) -> Entry:
    plain = desk.entry(event_id)
    mark = f'{{"user":{{"email_sha256":"{sha256(person.encode()).hexdigest()}"}},'.encode()
    return Entry(**{**{name: getattr(plain, name) for name in plain.__struct_fields__}, "body": mark + plain.body[1:]})


@pytest.mark.parametrize("kind", KINDS)
async def test_what_waits_is_not_sent_and_what_was_sent_is_emptied(kind: str, tmp_path: Path) -> None:
    async with open_desk(new_place(kind, tmp_path)) as desk:
        privacy = Privacy(desk.store, desk.clock)
        await desk.outbox.accept([entry_about(desk, "sent", ANNA)])
        batch = await desk.claim()
        assert batch is not None
        await desk.settle(batch, "delivered")
        await desk.outbox.accept([entry_about(desk, "waits", ANNA), entry_about(desk, "other", "ben@example.com")])
        assert (await privacy.explain(ANNA)).events == 2
        done = await privacy.forget("Anna@Example.com ")
        assert (done.events, done.under_way) == (2, 0)
        assert await desk.states() == {"sent": ["delivered"], "waits": ["opted out"], "other": ["waiting"]}
        assert await desk.counted() == {"delivered": 1, "opted out": 1, "waiting": 1}
        (left,) = await desk.query("select count(*) from event_bodies")
        assert left[0] == 1
        assert (await privacy.forget(ANNA)).events == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_under_way_is_told_and_forgotten_later(kind: str, tmp_path: Path) -> None:
    async with open_desk(new_place(kind, tmp_path)) as desk:
        privacy = Privacy(desk.store, desk.clock)
        await desk.outbox.accept([entry_about(desk, "going", ANNA)])
        batch = await desk.claim()
        assert batch is not None
        assert (await privacy.forget(ANNA)).under_way == 1
        await desk.settle(batch, "delivered")
        done = await privacy.forget(ANNA)
        assert (done.events, done.under_way) == (1, 0)
        assert await desk.counted() == {"delivered": 1}
