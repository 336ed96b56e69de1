"""What was heard from Brevo and what customers said, on every kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError
from penstock.runtime.barred import Barred
from penstock.runtime.feedback import LONGEST_TEXT, Feedback, Put, make_said
from penstock.runtime.heard import Heard, Seen, Sweep
from penstock.runtime.hooks import Hooks, new_secret
from penstock.runtime.inbox import Inbox, Message
from penstock.runtime.store import Store
from stores import KINDS, new_place


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await Store.open(new_place(request.param, tmp_path), ManualClock(), "test")
    yield store
    await store.close()


def seen(number: int, state: bytes = b"1", *, is_blocked: bool = False) -> Seen:
    return Seen(number, (f"c{number}@x.org", f"id:{number}"), state, is_blocked)


async def test_a_webhook_is_known_by_hashes_only(store: Store) -> None:
    hooks, path, token = Hooks(store, store.clock), new_secret(), new_secret()
    await hooks.save("org", "marketing", "brevo", path, token)
    await hooks.number("org", "marketing", 7)
    (hook,) = await hooks.list()
    assert (hook.number, hook.has_path(path), hook.has_token(token)) == (7, True, True)
    assert not hook.has_path(token)
    assert not hook.has_token("")
    assert path.encode() not in hook.path
    await hooks.remove("org", "marketing")
    assert await hooks.list() == []


async def test_only_another_state_counts_as_a_change(store: Store) -> None:
    heard, clock = Heard(store, store.clock), store.clock
    assert await heard.see("org", [seen(1), seen(2)], is_first=True) == 0
    assert await heard.changed_contacts("org", 0) == []
    clock.advance(10)
    assert await heard.see("org", [seen(1, b"2"), seen(2), seen(3)]) == 2
    assert await heard.see("org", [seen(1, b"2")]) == 0
    found = await heard.changed_contacts("org", 0)
    assert [(one.contact, one.at) for one in found] == [(1, clock.now()), (3, clock.now())]
    assert [one.contact for one in await heard.changed_contacts("org", clock.now(), beyond=1)] == [3]
    assert await heard.changed_contacts("org", clock.now() + 1) == []
    assert await heard.changed_contacts("other", 0) == []


async def test_a_blocked_contact_is_noted_as_objecting_by_all_of_its_names(store: Store) -> None:
    await Heard(store, store.clock).see("org", [seen(1, is_blocked=True), seen(2)])
    found = await Barred(store).find(["C1@x.org", "id:1", "c2@x.org"])
    assert found == {"C1@x.org": "objected", "id:1": "objected"}


async def test_what_a_full_reading_does_not_meet_is_missed_and_barred_when_dropped(store: Store) -> None:
    heard = Heard(store, store.clock)
    await heard.see("org", [seen(1), seen(2)], sweep=1)
    await heard.see("org", [seen(2)], sweep=2)
    missed = await heard.missed("org", 2)
    assert [one.contact for one in missed] == [1]
    assert [missed[0].person] == await heard.mark(["C1@x.org "])
    await heard.drop("org", missed)
    assert await heard.missed("org", 2) == []
    assert await Barred(store).find(["c1@x.org", "c2@x.org"]) == {"c1@x.org": "forgotten"}
    await heard.drop_person(["c2@x.org"])
    assert await heard.missed("org", 9) == []


async def test_how_far_an_account_was_read_is_kept(store: Store) -> None:
    heard = Heard(store, store.clock)
    assert await heard.sweep_of("org") == Sweep()
    for sweep in (Sweep(5, 1, 2.0), Sweep(6, 1, 2.0)):
        await heard.save_sweep("org", sweep)
        assert await heard.sweep_of("org") == sweep


async def test_an_event_is_recognised_for_a_month(store: Store) -> None:
    heard = Heard(store, store.clock)
    await heard.note([b"a", b"b"])
    await heard.note([b"b"])
    assert await heard.find([b"a", b"b", b"c"]) == {b"a", b"b"}
    store.clock.advance(31 * 86_400)
    await heard.forget_old()
    assert await heard.find([b"a", b"b"]) == set()


async def test_an_urgent_message_overtakes_what_waits(store: Store) -> None:
    order: list[str] = []

    async def handle(message: Message) -> None:
        order.append(message.message)

    inbox = Inbox(store, store.clock)
    for number in range(20):
        await inbox.put("brevo", f"m{number}", "marketing", b"{}")
        store.clock.advance(1)
    await inbox.put("brevo", "opt-out", "marketing", b"{}", urgent=True)
    inbox.register("brevo", "marketing", handle)
    assert await inbox.handle_due() == 16
    assert order[0] == "opt-out"


async def test_the_same_feedback_by_two_roads_is_one_row(store: Store) -> None:
    feedback = Feedback(store, store.clock)
    given = [
        make_said("http", text="Good", source="Reviews", id=17, contact=" Anna@X.org"),
        make_said("file", text="Good", source="reviews", id=" 17 ", contact="anna@x.org"),
        make_said("file", text="Good", source="reviews", id=17.0, contact="anna@x.org"),
    ]
    assert [await feedback.put([one]) for one in given] == [Put(added=1), Put(known=1), Put(known=1)]
    assert await feedback.put(given) == Put(known=3)
    unnamed = [
        make_said("event", text=text, source="app", contact="a@x.org", happened_at=9.0) for text in ("a b", " a\nb")
    ]
    assert await feedback.put(unnamed) == Put(1, 1)
    assert [one.id for one in await feedback.page()] == ["reviews:17", unnamed[0].id]
    assert await feedback.counts() == {("reviews", "http"): 1, ("app", "event"): 1}
    assert [one.contact for one in await feedback.newest(source="reviews")] == ["anna@x.org"]


async def test_the_later_version_of_feedback_stays_in_whatever_order_it_comes(store: Store) -> None:
    feedback = Feedback(store, store.clock)
    old, new = (
        make_said("http", text=text, source="s", id=1, happened_at=at) for text, at in (("old", 1.0), ("new", 2.0))
    )
    for one in (old, new, old):
        await feedback.put([one])
    assert [one.text for one in await feedback.page()] == ["new"]


async def test_feedback_of_forgotten_people_is_not_kept(store: Store) -> None:
    await Barred(store).add(["anna@x.org"], "forgotten", 1.0)
    said = [make_said("http", text="t", source="s", id=who, contact=who) for who in ("anna@x.org", "bob@x.org")]
    assert await Feedback(store, store.clock).put(said) == Put(added=1, forgotten=1)


async def test_any_text_can_be_kept_and_a_long_one_is_cut(store: Store) -> None:
    texts = ["a\0b", "half \ud83d of one", "x" * (LONGEST_TEXT + 5)]
    feedback = Feedback(store, store.clock)
    await feedback.put([make_said("file", text=text, source="s", id=index) for index, text in enumerate(texts)])
    rows = await feedback.page()
    assert [row.text[:10] for row in rows] == ["ab", "half ? of ", "x" * 10]
    assert (len(rows[2].text), rows[2].extra) == (LONGEST_TEXT, {"cut_from": LONGEST_TEXT + 5})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"text": " ", "source": "s"}, "feedback.no-text"),
        ({"text": {"a": 1}, "source": "s"}, "feedback.no-text"),
        ({"text": "t", "source": "../etc"}, "feedback.bad-source"),
        ({"text": "t", "source": ""}, "feedback.bad-source"),
        ({"text": "t", "source": "s", "id": "x" * 201}, "feedback.bad-id"),
        ({"text": "t", "source": "s", "extra": {"a": "x" * 10_001}}, "feedback.too-much"),
    ],
)
def test_what_is_no_feedback_is_refused(given: dict[str, object], code: str) -> None:
    with pytest.raises(InputError) as caught:
        make_said("http", **given)  # type: ignore[arg-type]
    assert caught.value.code == code
