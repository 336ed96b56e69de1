"""Campaigns held against what the vendor made: its OpenAPI file for each request, its SDK beside the connector."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("brevo")
pytest.importorskip("uvicorn")
pytest.importorskip("PIL")

import jsonschema_rs
from brevo.email_campaigns.types import CreateEmailCampaignRequestRecipients, CreateEmailCampaignRequestSender
from campaign_desk import CAMPAIGN, HTML, as_test, change, open_desk
from test_campaign_gallery import picture

from brevo_wire import SPEC, checked, load_specification, serve_newest
from penstock.base.clock import SystemClock
from penstock.base.errors import FixError
from penstock.campaigns.desk import Campaigns
from penstock.data.brevo import read_account
from penstock.data.brevo_campaign_file import CampaignFile
from penstock.data.brevo_campaigns import Recipients, Sender, SubjectTest
from penstock.runtime.brevo_calls import BrevoCaller
from penstock.runtime.store import Store
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http

EVERYTHING = change(
    as_test(test=SubjectTest(share=20, winner="opens", wait_hours=4)),
    html=HTML + '<img src="hero.png" alt="">',
    reply_to="service@sandbox.example",
    to="{{ contact.FIRSTNAME }}",
    utm={"source": "newsletter", "medium": "email", "campaign": "winter", "content": "a", "term": "b"},
    tag="season",
)


def build_validator(specification: dict[str, Any], path: str, method: str) -> Any:
    for template in sorted(specification["paths"], key=lambda one: one.count("{")):
        if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path):
            content = specification["paths"][template][method]["requestBody"]["content"]["application/json"]["schema"]
            draft = "http://json-schema.org/draft-04/schema#"
            root = {"$schema": draft, "allOf": [content], "components": specification["components"]}
            return jsonschema_rs.validator_for(root, validate_formats=False)
    raise AssertionError(f"the file knows no {path}")


async def test_every_request_about_campaigns_fits_the_openapi_file(tmp_path):
    specification = load_specification()
    if specification is None:
        pytest.skip(f"{SPEC} is not at hand; set PENSTOCK_SHARED to the folder that holds specs/")
    (tmp_path / "hero.png").write_bytes(picture())

    async def work(desk: Any) -> None:
        await desk.draft(EVERYTHING)
        await desk.draft(change(EVERYTHING, preview_text="Another"))
        await desk.draft(kind="template")
        await desk.draft(change(name="plain", sender=Sender(id=1, name="Shop"), recipients=Recipients(lists=(1,))))
        review = await desk.campaigns.approve("plain", "ann")
        typed = {"confirm_id": review.number, "confirm_recipients": 10}
        await desk.campaigns.schedule("plain", desk.clock.now() + 7200, **typed)
        await desk.campaigns.withdraw("plain")

    async with open_desk(tmp_path) as desk:
        await desk.clock.run(work(desk))
        seen = set()
        for place, body in desk.gateway.bodies:
            path = place.split("/v3", 1)[1]
            if path == "/smtp/template/preview":
                continue  # newer than the file
            is_new = path in ("/emailCampaigns", "/emailCampaigns/images", "/smtp/templates")
            build_validator(specification, path, "post" if is_new else "put").validate(body)
            seen.add(re.sub(r"\d+", "N", path))
    assert seen == {
        "/emailCampaigns", "/emailCampaigns/N", "/emailCampaigns/N/status", "/emailCampaigns/images", "/smtp/templates"
    }  # fmt: skip


@pytest.fixture(scope="module")
def site():
    with serve_newest() as site:
        yield site


@pytest.fixture
def brevo(site):
    with site.open() as server:
        yield server


async def open_campaigns(brevo: Any, folder: Any) -> tuple[Campaigns, Store, Http]:
    clock, http = SystemClock(), Http()
    caller = BrevoCaller(Brevo(http, "xkeysib-test", base_url=brevo.address), clock)
    store = await Store.open(folder / "store.sqlite", clock)

    async def publish(name: str, content: bytes) -> str:
        raise AssertionError(name)

    return Campaigns(store, clock, caller, await read_account(caller), publish), store, http


async def test_the_sdk_and_the_connector_make_the_same_draft_and_see_each_others_edits(brevo, tmp_path):
    news = brevo.state.add_list("News").id
    for number in range(4):
        brevo.state.add_contact(f"p{number}@x.org", {"FIRSTNAME": f"P{number}"}, lists=[news])
    campaigns, store, http = await open_campaigns(brevo, tmp_path)
    ours = (await campaigns.draft(CampaignFile(as_test(), "campaign", tmp_path))).number
    sdk = brevo.client().email_campaigns
    shown = checked(sdk.get_email_campaign(ours))
    theirs = sdk.create_email_campaign(
        name="winter",
        sender=CreateEmailCampaignRequestSender(email="owner@sandbox.example"),
        html_content=HTML,
        ab_testing=True,
        subject_a=shown.subject_a,
        subject_b=shown.subject_b,
        split_rule=20,
        winner_criteria="click",
        winner_delay=24,
        preview_text=CAMPAIGN.preview_text,
        params=CAMPAIGN.params,
        recipients=CreateEmailCampaignRequestRecipients(list_ids=[news]),
        tag=shown.tag,
    ).id
    first, second = (checked(sdk.get_email_campaign(number)) for number in (ours, theirs))
    same = ("name", "subject_a", "subject_b", "split_rule", "winner_criteria", "winner_delay", "preview_text", "tag")
    same += ("html_content", "ab_testing", "sender", "recipients", "status", "reply_to", "to_field")
    assert {name: getattr(first, name) for name in same} == {name: getattr(second, name) for name in same}
    assert (await campaigns.approve(str(ours), "ann")).state == "approved"
    sdk.update_email_campaign(ours, preview_text="Edited with the SDK")
    with pytest.raises(FixError) as caught:
        await campaigns.send(str(ours), confirm_id=ours, confirm_recipients=4)
    assert caught.value.code == "campaign.not-approved"
    await http.close()
    await store.close()
