from __future__ import annotations

import pytest
from brevo_desk import Desk

from penstock.base.errors import ThrottledError
from penstock.base.types import Finding
from penstock.data.brevo_doctor import READS, WRITES, check_account
from penstock.sandbox.brevo_account import Key
from penstock.vendor.brevo_endpoints import ENDPOINTS


async def look(desk: Desk) -> dict[str, Finding]:
    found = await desk.clock.run(check_account(desk.caller, "Brevo"))
    return {one.name: one for one in found}


async def test_a_healthy_account_is_described_and_left_as_it_was():
    desk = Desk(ecommerce=True, consent_groups=True)
    desk.add_people(3)
    found = await look(desk)
    assert {one.verdict for one in found.values()} == {"ok"}
    assert "Sandbox" in found["Brevo key"].message
    assert "EUR" in found["Brevo shop"].message
    assert found["Brevo consent groups"].message == "on, 0 groups"
    assert len(desk.state.by_creation) == 3
    assert not desk.world.written
    assert not desk.state.events


@pytest.mark.parametrize(
    ("key", "cause"),
    [("xkeysib-expired", "expired"), ("xkeysib-unlisted-ip", "IP address is not authorised")],
)
async def test_a_refused_key_is_one_finding_with_its_cause(key, cause):
    found = await look(Desk(key=key))
    assert list(found) == ["Brevo key"]
    assert found["Brevo key"].verdict == "fail"
    assert cause in found["Brevo key"].fix


async def test_a_key_that_may_only_read_is_told():
    found = await look(Desk(key="xkeysib-readonly"))
    assert found["Brevo permissions"].verdict == "warn"
    assert found["Brevo permissions"].message == "the key may not write contacts, write events"
    assert found["Brevo permissions"].fix


async def test_each_missing_right_is_named():
    desk = Desk(key="xkeysib-own")
    desk.state.account.keys["xkeysib-own"] = Key(rights={"*": "all", "emailCampaigns": "none", "webhooks": "none"})
    assert (await look(desk))["Brevo permissions"].message == "the key may not read campaigns, read webhooks"


async def test_features_that_are_off_are_no_fault():
    found = await look(Desk(ecommerce=False, consent_groups=False))
    assert found["Brevo shop"].verdict == found["Brevo consent groups"].verdict == "ok"
    assert "off" in found["Brevo shop"].message
    assert "off" in found["Brevo consent groups"].message


@pytest.mark.parametrize(("scale", "tier"), [(1, "General"), (2, "Advanced"), (6, "Extended"), (5, "50 calls per")])
async def test_the_tier_is_read_from_the_headers(scale, tier):
    assert f"plan limits: {tier}" in (await look(Desk(scale=scale)))["Brevo limits"].message


async def test_limits_that_nobody_states_are_not_made_up():
    assert "not stated; left: Brevo stated none" in (await look(Desk(limited=False)))["Brevo limits"].message


async def test_a_limit_that_others_have_nearly_used_up_is_a_warning():
    desk = Desk(ecommerce=True)
    for _ in range(88):
        desk.limits.take("other", desk.clock.now())
    limits = (await look(desk))["Brevo limits"]
    assert limits.verdict == "warn"
    assert "rest" in limits.message


async def test_looking_does_not_wait_for_a_limit_that_is_used_up():
    desk = Desk()
    desk.fault("account.get", "status", status=429, seconds=3000)
    begun = desk.clock.monotonic()
    found = await look(desk)
    assert found["Brevo key"].verdict == "fail"
    with pytest.raises(ThrottledError):
        await desk.clock.run(desk.caller.call("account.get", at_once=True))
    assert desk.clock.monotonic() - begun < 10


async def test_an_outage_while_looking_is_a_finding():
    desk = Desk()
    desk.fault("lists.list", "status", status=500)
    found = await look(desk)
    assert found["Brevo"].verdict == "fail"
    assert "lists.list" in found["Brevo"].message


def test_every_probe_is_an_endpoint_that_is_there():
    assert {*READS.values(), *WRITES.values()} <= set(ENDPOINTS)
