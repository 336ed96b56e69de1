"""Our own webhooks at the emulated Brevo: made once, matched, mended and removed, and nobody else's ever touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from brevo_desk import Desk

from penstock.base.errors import InputError, PenstockError
from penstock.data.brevo_webhooks import MOST, Webhooks
from penstock.runtime.hooks import Hooks
from penstock.runtime.store import Store

URL = "https://hooks.example.com/penstock"


class Owner:
    """A workspace with its store, and the account."""

    def __init__(self, desk: Desk, store: Store) -> None:
        self.desk = desk
        self.hooks = Hooks(store, desk.clock)
        self.webhooks = Webhooks(desk.caller, desk.account, "brevo", self.hooks)

    async def run(self, work: Any) -> Any:
        return await self.desk.clock.run(work)

    async def create(self, *types: Any, url: str = URL, **more: Any) -> list[str]:
        made = await self.run(self.webhooks.create(url, types or ("marketing", "transactional"), **more))
        return [one.state for one in made]

    def at_brevo(self) -> list[Any]:
        return list(self.desk.state.outbox.hooks.values())


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    desk = Desk()
    store = await Store.open(tmp_path / "store.sqlite", desk.clock, "test")
    yield Owner(desk, store)
    await store.close()


async def add_foreign(owner: Owner, **parts: Any) -> int:
    body = {"url": "https://crm.example/hook/secret", "events": ["contactUpdated"], "type": "marketing", **parts}
    return int((await owner.run(owner.desk.caller.call("webhooks.create", body=body))).content["id"])


async def test_creating_twice_makes_one_of_each_type(owner: Owner) -> None:
    assert await owner.create() == ["made", "made"]
    assert await owner.create() == ["kept", "kept"]
    marketing, transactional = owner.at_brevo()
    assert (marketing.type, transactional.type) == ("marketing", "transactional")
    assert marketing.url.startswith(f"{URL}/webhooks/brevo/")
    assert marketing.url != transactional.url
    assert marketing.auth["type"] == "bearer"
    assert len(marketing.auth["token"]) == 40
    hooks = {hook.type: hook for hook in await owner.hooks.list()}
    assert hooks["marketing"].has_path(marketing.url.rpartition("/")[2])
    assert hooks["marketing"].has_token(marketing.auth["token"])
    assert hooks["marketing"].number == marketing.id


async def test_what_was_changed_by_hand_is_mended_and_keeps_its_secrets(owner: Owner) -> None:
    await owner.create("marketing")
    (hook,) = owner.at_brevo()
    before = (hook.url, hook.auth)
    hook.events = ["delivered"]
    assert await owner.create("marketing") == ["changed"]
    assert "contactDeleted" in hook.events
    assert (hook.url, hook.auth) == before


async def test_another_address_moves_the_webhook(owner: Owner) -> None:
    await owner.create("marketing")
    assert await owner.create("marketing", url="https://new.example.com") == ["changed"]
    (hook,) = owner.at_brevo()
    assert hook.url.startswith("https://new.example.com/webhooks/brevo/")
    assert (await owner.hooks.list())[0].has_path(hook.url.rpartition("/")[2])


async def test_a_store_that_was_lost_takes_its_webhook_over_with_new_secrets(owner: Owner, tmp_path: Path) -> None:
    await owner.create("marketing")
    (hook,) = owner.at_brevo()
    old = hook.url
    store = await Store.open(tmp_path / "new.sqlite", owner.desk.clock, "test")
    other = Owner(owner.desk, store)
    assert await other.create("marketing") == ["changed"]
    (hook,) = owner.at_brevo()
    assert hook.url != old
    assert (await other.hooks.list())[0].has_token(hook.auth["token"])
    await store.close()


async def test_those_of_others_are_never_touched(owner: Owner) -> None:
    foreign = await add_foreign(owner)
    lookalike = await add_foreign(owner, url=f"{URL}/webhooks/brevo/{'a' * 40}", description="of the shop")
    elsewhere = await add_foreign(
        owner, url=f"https://staging.example.com/webhooks/brevo/{'b' * 40}", description="Penstock: on staging"
    )
    await owner.create()
    shown = await owner.run(owner.webhooks.find_all())
    assert sorted(one.number for one in shown if not one.is_own) == [foreign, lookalike, elsewhere]
    assert not any("secret" in one.url or "a" * 40 in one.url or "b" * 40 in one.url for one in shown)
    removed = await owner.run(owner.webhooks.remove())
    assert len(removed) == 2
    assert [one.id for one in owner.at_brevo()] == [foreign, lookalike, elsewhere]
    assert await owner.hooks.list() == []
    assert await owner.run(owner.webhooks.remove()) == []


async def test_a_lost_answer_is_looked_up_before_anything_is_made_again(owner: Owner) -> None:
    owner.desk.fault("webhooks.create", "lost", times=1)
    assert await owner.create("marketing") == ["made"]
    assert len(owner.at_brevo()) == 1
    assert (await owner.hooks.list())[0].number == owner.at_brevo()[0].id


@pytest.mark.parametrize("operation", ["webhooks.list", "webhooks.create", "webhooks.update"])
@pytest.mark.parametrize("kind", ["lost", "drop"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_wherever_it_was_broken_off_the_next_time_leaves_one(
    owner: Owner, operation: str, kind: str, after: int
) -> None:
    owner.desk.fault(operation, kind, times=40, after=after)
    try:
        await owner.create("marketing")
        await owner.create("marketing", url="https://new.example.com")
    except PenstockError:
        pass
    owner.desk.world.faults.clear()
    await owner.create("marketing", url="https://new.example.com")
    (hook,) = [one for one in owner.at_brevo() if one.url.startswith("https://new.example.com")]
    (known,) = await owner.hooks.list()
    assert known.has_path(hook.url.rpartition("/")[2])
    assert known.has_token(hook.auth["token"])
    assert known.number == hook.id


async def test_two_that_were_made_at_the_same_moment_become_one(owner: Owner, tmp_path: Path) -> None:
    await owner.create("marketing")
    (hook,) = owner.at_brevo()
    await add_foreign(owner, url=f"{URL}/webhooks/brevo/{'c' * 40}", description=hook.description)
    assert await owner.create("marketing") == ["kept"]
    assert [one.id for one in owner.at_brevo()] == [hook.id]


async def test_a_full_account_is_named_and_nothing_is_made_room_for(owner: Owner) -> None:
    for _ in range(MOST):
        await add_foreign(owner)
    with pytest.raises(InputError) as caught:
        await owner.create("marketing")
    assert caught.value.code == "webhook.too-many"
    assert len(owner.at_brevo()) == MOST


@pytest.mark.parametrize(
    "url", ["http://hooks.example.com", "ftp://x", "https://user:pass@x.org", "https://x.org/?a=1", "hooks.example.com"]
)
async def test_an_address_that_brevo_cannot_reach_safely_is_refused(owner: Owner, url: str) -> None:
    with pytest.raises(InputError) as caught:
        await owner.create("marketing", url=url)
    assert caught.value.code == "webhook.bad-url"


async def test_inbound_mail_needs_its_domain_and_conversations_a_hand(owner: Owner) -> None:
    with pytest.raises(InputError, match="domain"):
        await owner.create("inbound")
    assert await owner.create("inbound", domain="reply.example.com") == ["made"]
    (made,) = await owner.run(owner.webhooks.create(URL, ["conversations"]))
    assert made.state == "by-hand"
    assert made.url.startswith("https://penstock:")
    assert [one.type for one in owner.at_brevo()] == ["inbound"]


async def test_the_check_tells_what_is_missing(owner: Owner) -> None:
    assert [one.verdict for one in await owner.run(owner.webhooks.check())] == ["ok"]
    await owner.create()
    assert [one.verdict for one in await owner.run(owner.webhooks.check())] == ["ok"]
    owner.at_brevo()[0].events = ["contactUpdated"]
    del owner.desk.state.outbox.hooks[owner.at_brevo()[1].id]
    found = await owner.run(owner.webhooks.check())
    assert [(one.name, one.verdict) for one in found] == [
        ("Brevo webhooks", "ok"),
        ("Brevo webhook transactional", "fail"),
        ("Brevo webhook marketing", "warn"),
    ]
