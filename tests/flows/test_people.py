"""What is kept of a person, shown and deleted."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import InputError
from penstock.privacy import Privacy
from penstock.runtime.store import Store
from shop import Shop, attributes_of, billed, feedback, in_shop
from stores import KINDS, new_place

ANNA = "anna.kowalska@example.com"
BEN = "ben@example.com"
QUOTE = "zebracorn"


def shop_of(folder: Path, **flow: Any) -> Shop:
    rows = [
        feedback(1, email=ANNA.upper(), text=f"Terrible {QUOTE} service, never again."),
        feedback(2, email=BEN),
        feedback(3, email=ANNA, date="no date at all"),
    ]
    return Shop(folder, rows, **flow)


async def run(shop: Shop, workspace: Any) -> Any:
    return await shop.run(workspace)


def bytes_left(folder: Path, *needles: str) -> list[tuple[str, str]]:
    """Return the files of a workspace in which something of a person stands."""
    emulated = "sandbox-brevo.json"  # the vendor's own memory, which is not ours to forget
    files = [path for path in (folder / ".penstock").iterdir() if path.is_file() and path.name != emulated]
    held = {path.name: path.read_bytes().lower() for path in files}
    return [(name, needle) for name, data in held.items() for needle in needles if needle.lower().encode() in data]


async def test_everything_that_is_kept_of_a_person_is_shown(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        report = await run(shop, workspace)
        found = await Privacy(workspace.store, workspace.clock).explain(ANNA)
        (judged,) = [one for one in found.judged if one.results]
        assert judged.flow == "feedback"
        assert judged.record == "f1"
        assert judged.run == report.run
        assert judged.sent["analyze-sentiment"]["text"] == "${{ record.text }}"
        assert judged.results["sentiment"]["label"] == "negative"
        assert judged.calls[0].model == judged.results["sentiment"]["model"]
        assert judged.calls[0].request_id
        (written,) = found.written
        assert written.state == "confirmed"
        assert written.fields["SENTIMENT_LABEL"] == "negative"
        assert found.failed == 1
        assert found.barred == ""

    await in_shop(shop, work)


async def test_nothing_of_a_forgotten_person_stays_in_the_files(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await run(shop, workspace)
        assert bytes_left(tmp_path, ANNA)
        done = await Privacy(workspace.store, workspace.clock).forget(ANNA)
        assert (done.items, done.writes, done.letters) == (2, 1, 1)
        assert done.answers == 1
        assert done.compacted
        assert bytes_left(tmp_path, ANNA, QUOTE) == []
        assert bytes_left(tmp_path, BEN)

    await in_shop(shop, work)
    assert bytes_left(tmp_path, ANNA, QUOTE) == []


async def test_forgetting_twice_finds_nothing_more(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await run(shop, workspace)
        privacy = Privacy(workspace.store, workspace.clock)
        await privacy.forget(ANNA)
        again = await privacy.forget(ANNA)
        assert (again.items, again.answers, again.writes, again.letters) == (0, 0, 0, 0)
        assert (await privacy.explain(ANNA)).barred == "forgotten"

    await in_shop(shop, work)


async def test_a_forgotten_person_does_not_come_back_with_the_next_run(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await run(shop, workspace)
        privacy = Privacy(workspace.store, workspace.clock)
        await privacy.forget(ANNA)
        calls = billed(workspace)
        shop.rows[0]["text"] = "Changed, and still terrible."
        shop.rows[2]["email"] = "somebody.else@example.com"  # the record itself is known to be hers
        shop.rows.append(feedback(9, email=f" {ANNA} "))
        plan = await shop.plan(workspace)
        assert (plan.forgotten, plan.calls) == (3, 0)
        report = await run(shop, workspace)
        assert (report.counts.forgotten, report.counts.judged, report.counts.failed) == (3, 0, 0)
        assert billed(workspace) == calls
        assert not (await privacy.explain(ANNA)).judged

    await in_shop(shop, work)


async def test_answers_to_earlier_texts_of_a_record_are_forgotten_too(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await run(shop, workspace)
        shop.rows[0]["text"] = "A second text about the same thing."
        await run(shop, workspace)
        assert (await Privacy(workspace.store, workspace.clock).forget(ANNA)).answers == 2

    await in_shop(shop, work)


async def test_flows_that_do_not_summarise_know_whose_record_it_is(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, summarize=None)
    shop.flow["sink"] = {
        "brevo": {"match": "${{ record.email }}", "attributes": {"AI_LABEL": "${{ sentiment.label }}"}}
    }
    del shop.rows[2]

    async def work(workspace: Any) -> None:
        await run(shop, workspace)
        done = await Privacy(workspace.store, workspace.clock).forget(ANNA)
        assert (done.items, done.writes) == (1, 1)
        report = await run(shop, workspace)
        assert report.counts.forgotten == 1

    await in_shop(shop, work)


async def test_what_is_queued_about_a_forgotten_person_is_not_sent(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        privacy = Privacy(workspace.store, workspace.clock)
        await run(shop, workspace)
        shop.rows[1]["text"] = "Wonderful, great, I love it."
        before = attributes_of(workspace, BEN)

        def forget_meanwhile(run: Any) -> None:
            deliver = run.deliveries[0].deliver

            async def forget_then_deliver(stop: Any) -> Any:
                await privacy.barred.add([BEN], "forgotten", workspace.clock.now())
                return await deliver(stop)

            run.deliveries[0].deliver = forget_then_deliver

        await shop.run(workspace, started=forget_meanwhile)
        assert attributes_of(workspace, BEN) == before

    await in_shop(shop, work)


async def test_a_mark_tells_nobody_who_it_was(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        await Privacy(workspace.store, workspace.clock).forget(ANNA)

    await in_shop(shop, work)
    plain = hashlib.blake2b(ANNA.encode(), digest_size=20).digest()
    assert all(plain not in path.read_bytes() for path in (tmp_path / ".penstock").iterdir() if path.is_file())
    assert bytes_left(tmp_path, ANNA) == []


async def test_webhooks_that_name_a_person_go_too(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        from penstock.runtime.inbox import Inbox

        inbox = Inbox(workspace.store, workspace.clock)
        await inbox.put("brevo", "m1", "contact_updated", json.dumps({"email": ANNA}).encode())
        await inbox.put("brevo", "m2", "contact_updated", json.dumps({"email": "x" + ANNA}).encode())
        done = await Privacy(workspace.store, workspace.clock).forget(ANNA)
        assert done.messages == 1
        assert sum((await inbox.counts()).values()) == 1

    await in_shop(shop, work)


async def test_nobody_is_no_contact(tmp_path: Path) -> None:
    shop = shop_of(tmp_path)

    async def work(workspace: Any) -> None:
        for text in ("", "  "):
            with pytest.raises(InputError):
                await Privacy(workspace.store, workspace.clock).forget(text)

    await in_shop(shop, work)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_store_can_forget(kind: str, tmp_path: Path) -> None:
    clock = ManualClock()

    async def work() -> None:
        store = await Store.open(new_place(kind, tmp_path), clock)
        privacy = Privacy(store, clock)
        await privacy.object(ANNA)
        assert (await privacy.explain(ANNA)).barred == "objected"
        await privacy.forget(ANNA)
        assert (await privacy.explain(ANNA.upper())).barred == "forgotten"
        await privacy.withdraw_objection(ANNA)
        assert (await privacy.barred.find([ANNA, BEN])) == {ANNA: "forgotten"}
        await store.close()

    await clock.run(work())
