"""The deliveries of a workspace in the sandbox: records in, receipts and histories out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from penstock.base.clock import SystemClock
from penstock.base.errors import InputError, SettingsError, StoppedError
from penstock.base.types import Record
from penstock.events import replay
from penstock.events.inspect import Choice
from shop_desk import MAPPING, Shop, open_shop


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with open_shop(tmp_path) as opened:
        yield opened


async def test_each_record_has_a_receipt_in_its_place(shop: Shop) -> None:
    receipts = await shop.accept(
        shop.order(1),
        shop.order(2, total="1.2.3"),
        shop.order(3, consent=False),
        shop.order(1),
        Record("k", shop.order(4), "orders.csv:5"),
    )
    assert [one.state for one in receipts] == ["waiting", "refused", "opted out", "duplicate", "waiting"]
    assert receipts[1].problem is not None
    assert "amount" in receipts[1].problem.message
    assert receipts[3].number == receipts[0].number
    counts = await shop.deliveries.flush()
    assert counts == {"delivered": 2, "refused": 1, "opted out": 1, "duplicate": 1}
    assert sorted(one.event["id"] for one in shop.account.received) == ["o1", "o4"]


async def test_in_real_time_the_receipt_is_the_outcome(shop: Shop) -> None:
    receipts = await shop.deliveries.send_now(
        [shop.order(1), shop.order(2, total="x")], mapping=shop.mapping, source="s"
    )
    assert [one.state for one in receipts] == ["delivered", "refused"]
    (trial,) = await shop.accept(shop.order(1), real_time=True, validate_only=True)
    assert trial.state == "validated"
    (again,) = await shop.accept(shop.order(1), real_time=True)
    assert again.state == "duplicate"
    assert len(shop.account.received) == 1


async def test_what_fails_in_real_time_is_taken_by_the_loop(shop: Shop) -> None:
    shop.plan("lost", times=1)
    (receipt,) = await shop.accept(shop.order(1), real_time=True)
    assert receipt.state == "waiting"
    assert receipt.problem is not None
    await shop.deliveries.flush(is_patient=True)
    (history,) = await shop.deliveries.find("o1")
    assert history.row.state == "delivered"
    assert [one.kind for one in history.attempts] == ["unavailable", "accepted"]
    assert shop.account.counts["duplicates"] == 1


async def test_a_paused_destination_blocks_its_events_until_it_is_resumed(shop: Shop) -> None:
    shop.plan("status", status=401, times=1)
    (first,) = await shop.accept(shop.order(1), real_time=True)
    (second,) = await shop.accept(shop.order(2))
    assert [first.state, second.state] == ["blocked", "blocked"]
    assert second.problem is not None
    assert second.problem.code == "conversions.key-refused"
    assert await shop.deliveries.counts() == {"blocked": 2}
    assert [row.state for row in await shop.deliveries.tail(Choice(state="blocked"))] == ["blocked", "blocked"]
    assert await shop.deliveries.tail(Choice(state="waiting")) == []
    (finding,) = [one for one in await shop.workspace.check() if one.name.startswith("Events to")]
    assert (finding.verdict, "events resume" in finding.fix) == ("fail", True)
    assert len(await shop.deliveries.resume()) == 1
    assert await shop.deliveries.flush() == {"delivered": 2}


async def test_a_history_holds_no_personal_data_and_names_the_field_of_each_hash(shop: Shop) -> None:
    await shop.accept(shop.order(1), real_time=True)
    (history,) = await shop.deliveries.find("o1")
    text = msgspec.json.encode(history).decode()
    assert "ada1@" not in text
    assert "grey" not in text
    assert history.source["email"] == "(text of 16)"
    assert history.source["order"] == "o1"
    assert history.event is not None
    assert "hash of" in history.event["user"]["emails_sha256"][0]
    assert history.attempts[0].headers["x-request-id"]
    assert history.attempts[0].response == '{"accepted_events":1}'
    raw = (shop.workspace.folder / ".penstock" / "sandbox.sqlite-wal").read_bytes()
    assert b"ada1@" not in raw
    assert b"grey" not in raw


async def test_rejected_events_are_replayed_with_their_ids(shop: Shop) -> None:
    shop.plan("status", status=400, code="strange_thing", times=1)
    (receipt,) = await shop.accept(shop.order(1), real_time=True)
    assert receipt.state == "rejected"
    done = await shop.deliveries.replay(replay.Choice(code="strange_thing"))
    assert (done.waiting, done.too_old, done.gone) == (1, 0, 0)
    assert await shop.deliveries.flush() == {"delivered": 1}
    (history,) = await shop.deliveries.find("o1")
    assert [change.state for change in history.changes] == ["rejected"]
    assert [one.status for one in history.attempts] == [400, 200]
    assert (await shop.deliveries.replay(replay.Choice(event_ids=["o1"]))).waiting == 1
    await shop.deliveries.flush()
    assert shop.account.counts["duplicates"] == 1
    with pytest.raises(InputError, match="which events"):
        await shop.deliveries.replay(replay.Choice())


async def test_a_record_that_names_an_unknown_connection_is_refused_alone(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        (tmp_path / "shop.yaml").write_text("connection: ${{ record.over }}\n" + MAPPING, encoding="utf-8")
        shop.mapping = shop.deliveries.load_mapping(tmp_path / "shop.yaml")
        receipts = await shop.accept(shop.order(1, over="nowhere"), shop.order(2))
        assert [one.state for one in receipts] == ["refused", "waiting"]


async def test_a_missing_key_is_told_and_keeps_nothing(tmp_path: Path) -> None:
    async with open_shop(tmp_path, sandbox=False, conversions__pixel_id="abc") as shop:
        with pytest.raises(SettingsError):
            await shop.accept(shop.order(1))
        assert await shop.deliveries.counts() == {}


async def test_a_full_queue_is_told_to_who_hands_in(tmp_path: Path) -> None:
    async with open_shop(tmp_path, events__queue_limit=2) as shop:
        await shop.accept(shop.order(1), shop.order(2))
        with pytest.raises(StoppedError) as caught:
            await shop.accept(shop.order(3))
        assert caught.value.code == "events.queue-full"


async def test_the_quality_report_says_what_to_mend_first(shop: Shop) -> None:
    good = [shop.order(number) for number in range(5)]
    twins = [
        shop.order(number, order=f"random-{number}", email="one@example.com", at=shop.order(0)["at"] // 1)
        for number in (8, 9)
    ]
    late = [shop.order(20, at=shop.order(0)["at"] - 2 * 86_400, click="", email="")]
    await shop.accept(*good, *twins, *late, shop.order(30, currency="XXZ"), shop.order(1))
    report = await shop.deliveries.quality()
    assert (report.records, report.events) == (10, 8)
    assert report.coverage["email"] == 7 / 8
    assert report.oppref == 7 / 8
    assert report.duplicates == 0.1
    assert report.same_but_for_id == 1
    assert report.freshness is not None
    assert report.freshness.over_a_day == 1
    assert sum(report.currency_problems.values()) == 1
    assert any("random id" in text for text in report.mend_first)
    assert sum(one.events for one in await shop.deliveries.counts_by_day()) == 10


async def test_the_loop_of_a_workspace_drains_when_it_stops(tmp_path: Path) -> None:
    async with open_shop(tmp_path) as shop:
        stop = asyncio.Event()
        task = asyncio.ensure_future(shop.deliveries.run(stop))
        await shop.accept(*(shop.order(number) for number in range(1500)))
        stop.set()
        await task
        assert await shop.deliveries.counts() == {"delivered": 1500}


async def test_a_cancelled_real_time_call_leaves_its_event_to_the_loop(shop: Shop) -> None:
    shop.plan("slow", times=1, seconds=30)
    task = asyncio.ensure_future(shop.accept(shop.order(1), real_time=True))
    while not shop.account.received:
        await SystemClock().sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await shop.deliveries.flush() == {"delivered": 1}
    assert shop.account.counts["duplicates"] == 1
