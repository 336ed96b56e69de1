"""The Ads API client against its emulator, and deliveries beside what the account counts."""

from datetime import UTC, date, datetime

import msgspec
import pytest
from conversions_desk import Desk

from outboxes import open_desk
from penstock.base.errors import AccessError, RejectedError, ThrottledError, UnavailableError
from penstock.events.comparison import Delivered, Setup, compare, find_today, judge_pixel, read_setup, stand
from penstock.sandbox.conversions_state import PIXEL
from penstock.sandbox.world import Fault
from penstock.vendor.ads import Ads, Pixel, Seen
from penstock.vendor.conversions import Conversions
from stores import KINDS, new_place


class Office(Desk):
    """A desk with an Advertiser key."""

    def ads(self, key="sk-advertiser-0123"):
        return Ads(self.http, key)

    def wait(self, work):
        return self.clock.run(work)

    async def register(self, event_name, *, source="cds_sandbox0001", is_custom=False):
        made = await self.wait(self.ads().create_setting(event_name, event_name, source, is_custom=is_custom))
        self.clock.advance(5)
        return made


async def test_a_pixel_is_made_and_takes_events_at_once():
    desk = Office()
    pixel = await desk.wait(desk.ads().create_pixel("New shop"))
    assert pixel.source_id.startswith("cds_")
    assert len(pixel.pixel_id) == 22
    assert [one.name for one in await desk.wait(desk.ads().pixels())] == ["New shop", "Sandbox website"]
    client = desk.client(pixel_id=pixel.pixel_id)
    assert (await desk.wait(client.send([msgspec.json.encode(desk.lead(1))]))).kind == "accepted"
    wrong = desk.client(pixel_id=pixel.source_id)
    assert (await desk.wait(wrong.send([msgspec.json.encode(desk.lead(1))]))).error.code == "conversions.source-id"


async def test_a_key_that_was_made_writes_events_and_manages_nothing():
    desk = Office()
    key = await desk.wait(desk.ads().create_key("server"))
    assert (await desk.wait(desk.client(key).send([msgspec.json.encode(desk.lead(1))]))).kind == "accepted"
    with pytest.raises(AccessError) as caught:
        await desk.wait(desk.ads(key).account())
    assert caught.value.code == "ads.key-refused"
    assert key not in str(caught.value)
    assert (await desk.wait(desk.ads().account())).name == "Sandbox"


async def test_keys_can_be_made_and_not_listed():
    desk = Office()
    headers = {"Authorization": "Bearer sk-advertiser-0123"}
    url = "https://api.ads.openai.com/v1/conversions/api_keys"
    assert (await desk.wait(desk.http.send("GET", url, headers=headers))).status == 405


async def test_a_fresh_setting_is_missing_from_the_list_for_a_moment():
    desk = Office(fresh_seconds=2.0)
    ads = desk.ads()
    made = await desk.wait(ads.create_setting("Purchases", "order_created", "cds_sandbox0001", is_custom=False))
    assert await desk.wait(ads.settings()) == []
    desk.clock.advance(3)
    assert await desk.wait(ads.settings()) == [made]


async def test_the_pixel_id_is_no_source_of_a_setting():
    desk = Office()
    with pytest.raises(RejectedError) as caught:
        await desk.register("order_created", source=PIXEL)
    assert caught.value.code == "ads.source-unknown"
    assert "Client data source not found" in caught.value.message


@pytest.mark.parametrize(
("event", "is_custom"), [("purchase", False), ("custom", False)]
)  # fmt: skip
async def test_a_setting_needs_an_event_that_exists(event, is_custom):
    with pytest.raises(RejectedError):
        await Office().register(event, is_custom=is_custom)


async def test_lists_are_read_to_their_end():
    desk = Office()
    for number in range(1_001):
        desk.state.add_pixel(f"Shop {number}")
    found = await desk.wait(desk.ads().pixels())
    assert len({one.pixel_id for one in found}) == 1_002


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        ({"kind": "status", "status": 500}, UnavailableError, "ads.unavailable"),
        ({"kind": "status", "status": 429}, ThrottledError, "ads.throttled"),
        ({"kind": "status", "status": 403}, AccessError, "ads.not-allowed"),
        ({"kind": "status", "status": 404}, RejectedError, "ads.not-enabled"),
        ({"kind": "status", "status": 400}, RejectedError, "ads.rejected"),
        ({"kind": "html", "status": 403}, AccessError, "ads.not-allowed"),
        ({"kind": "drop"}, UnavailableError, None),
        ({"kind": "lost"}, UnavailableError, None),
        ({"kind": "malformed"}, UnavailableError, "http.not-json"),
    ],
)
async def test_every_failure_of_the_ads_api_is_told_by_its_kind(fault, kind, code):
    desk = Office()
    desk.world.faults.append(Fault("ads", "*", **fault))
    with pytest.raises(kind) as caught:
        await desk.wait(desk.ads().pixels())
    assert code is None or caught.value.code == code
    assert caught.value.hint or caught.value.recovery == "retry"


async def test_the_limits_of_the_ads_api_are_held_per_endpoint_and_in_all():
    desk = Office()
    desk.state.pixels.clear()
    ads = desk.ads()
    desk.clock.advance(60 - desk.clock.now() % 60)
    for _ in range(600):
        await ads.pixels()
    with pytest.raises(ThrottledError):
        await ads.pixels()
    for _ in range(600):
        await ads.settings()
    with pytest.raises(ThrottledError):
        await ads.account()
    desk.clock.advance(60)
    assert (await desk.wait(ads.account())).name == "Sandbox"


async def test_an_account_without_the_feature_is_told_apart():
    desk = Office(setup_enabled=False, monitoring_enabled=False)
    with pytest.raises(RejectedError) as caught:
        await desk.wait(desk.ads().create_key("server"))
    assert caught.value.code == "ads.not-enabled"
    setup = await desk.wait(read_setup(desk.ads()))
    assert setup.pixels is None
    assert setup.settings == ()
    assert judge_pixel(setup, PIXEL)[0].verdict == "warn"


async def test_the_sample_shows_the_newest_events_of_a_quarter_of_an_hour():
    desk = Office()
    await desk.send(desk.lead(0))
    desk.clock.advance(16 * 60)
    await desk.send(*[desk.lead(number) for number in range(1, 61)])
    seen = await desk.wait(desk.ads().sample(PIXEL))
    assert len(seen) == 50
    assert seen[0] == Seen("lead-60", "lead_created", "server_to_server")
    desk.change(sample="pixel only")
    assert await desk.wait(desk.ads().sample(PIXEL)) == []


async def test_only_attached_events_after_a_click_are_counted():
    desk = Office()
    today = datetime.fromtimestamp(desk.clock.now(), UTC).date().isoformat()
    await desk.send(desk.lead(1, oppref="click"), desk.order(1, oppref="click"), desk.order(2))
    setting = await desk.register("order_created")
    assert await desk.wait(desk.ads().insights(today, today)) == []
    desk.state.campaigns[0].conversion_event_setting_ids.append(setting.id)
    (day,) = await desk.wait(desk.ads().insights(today, today))
    assert (day.day, day.click_through, day.view_through) == (today, 1, 0)
    assert await desk.wait(desk.ads().insights("2026-01-01", "2026-01-02")) == []
    with pytest.raises(RejectedError):
        await desk.wait(desk.ads().insights(today, "2027-01-01"))


def test_today_is_a_matter_of_the_account():
    noon = datetime(2026, 11, 20, 3, 0, tzinfo=UTC).timestamp()
    assert find_today("America/New_York", noon) == date(2026, 11, 19)
    assert find_today("Europe/Berlin", noon) == find_today("Nowhere/Else", noon) == date(2026, 11, 20)


async def test_an_event_stands_by_its_settings_and_campaigns():
    desk = Office()
    other = desk.state.add_pixel("Blog")
    setting = await desk.register("order_created")
    await desk.register("lead_created", source=other.id)
    await desk.register("Quiz", is_custom=True)
    desk.state.campaigns[0].conversion_event_setting_ids.append(setting.id)
    setup = await desk.wait(read_setup(desk.ads()))
    delivered = [Delivered("2026-11-20", "order_created", 5), Delivered("2026-11-20", "lead_created", 2)]
    found = {one.event_name: one for one in stand(setup, PIXEL, delivered)}
    assert (found["order_created"].settings, found["order_created"].campaigns) == (
        ("order_created",),
        ("Sandbox campaign",),
    )
    assert (found["lead_created"].settings, found["lead_created"].campaigns) == ((), ())
    assert (found["quiz"].settings, found["quiz"].campaigns, found["quiz"].delivered) == (("Quiz",), (), 0)
    assert next(iter(found)) == "order_created"


@pytest.mark.parametrize(
    ("pixel_id", "verdict", "word"),
    [
        ("P1", "ok", "cds_1"),
        ("cds_1", "fail", "source id"),
        ("cds_9", "fail", "another ad account"),
        ("P9", "fail", "not a pixel"),
    ],
)
def test_the_pixel_id_is_judged_by_the_pixels_of_the_account(pixel_id, verdict, word):
    (finding,) = judge_pixel(Setup((Pixel("cds_1", "P1", "Shop"),), (), ()), pixel_id)
    assert (finding.verdict, word in finding.message) == (verdict, True)
    assert verdict == "ok" or "P1" in finding.fix


async def deliver(box, office, *events):
    """Keep events in the outbox, send them to the emulator, and settle them by its answer."""
    for event in events:
        await box.outbox.accept(
            [msgspec.structs.replace(box.entry(event["id"], name=event["type"]), body=msgspec.json.encode(event))]
        )
    batch = await box.claim()
    client = Conversions(office.http, "sk-test-0123", pixel_id=PIXEL)
    verdict = await client.send([item.body for item in batch.items])
    assert verdict.kind == "accepted"
    await box.settle(batch, "delivered")


@pytest.mark.parametrize("kind", KINDS)
async def test_deliveries_stand_beside_what_the_account_counts(kind, tmp_path):
    office = Office()
    async with open_desk(new_place(kind, tmp_path)) as box:
        office.clock.advance(box.clock.now() - office.clock.now())
        orders = [office.order(number, oppref="click" if number < 2 else None) for number in range(3)]
        await deliver(box, office, *orders, office.lead(1))
        await box.put("lead-2", name="lead_created")
        await office.send(office.lead(2), office.lead(9))
        setting = await office.register("order_created")
        office.state.campaigns[0].conversion_event_setting_ids.append(setting.id)
        now = datetime.fromtimestamp(box.clock.now(), UTC)
        found = await office.wait(compare(office.ads(), box.store, PIXEL, now.date(), now.timestamp()))
    (day,) = found.days
    assert (day.delivered, day.click_through, day.view_through) == (4, 2, 0)
    assert found.sample == {"delivered": 4, "waiting": 1, "unknown": 1}
    verdicts = [(one.name, one.verdict) for one in found.findings]
    assert verdicts == [
        ("pixel", "ok"),
        ("order_created", "ok"),
        ("lead_created", "warn"),
        ("sample", "ok"),
        ("sample", "warn"),
        ("sample", "warn"),
    ]


async def test_a_comparison_goes_on_where_the_account_does_not_tell(tmp_path):
    office = Office(setup_enabled=False, monitoring_enabled=False)
    async with open_desk(tmp_path / "store.sqlite") as box:
        found = await office.wait(compare(office.ads(), box.store, PIXEL, date(2026, 11, 1), office.clock.now()))
    assert (found.standings, found.days, found.sample) == ((), (), None)
    assert [one.verdict for one in found.findings] == ["warn", "warn"]
