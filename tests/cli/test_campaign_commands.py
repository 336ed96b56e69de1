"""The campaigns command in the sandbox, from the example's file to the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("PIL", reason="the extra `images` is not installed")

ROOT = Path(__file__).parents[2]


@pytest.fixture
def campaigns(penstock, tmp_path):
    shutil.copytree(ROOT / "examples" / "campaign", tmp_path, dirs_exist_ok=True)
    return lambda *words: penstock("campaigns", *words, "--sandbox")


def test_a_campaign_goes_from_its_file_to_its_readers(campaigns, tmp_path):
    made = campaigns("draft", "campaign.yaml")
    assert made.code == 0
    assert "The campaign 1 (winter-sale) is made." in made.out
    assert "is unchanged" in campaigns("draft", "campaign.yaml").out
    shown = campaigns("show", "winter-sale", "--save", "mail.html")
    assert "190 (not: 10 blocklisted)" in shown.out
    assert "Hello Anna," in (tmp_path / "mail.html").read_text()
    assert campaigns("send", "1", "--confirm-id", "1", "--confirm-recipients", "190").code == 2
    assert campaigns("approve", "winter-sale", "--yes").code == 0
    assert "approved" in campaigns("list").out
    refused = campaigns("send", "winter-sale")
    assert (refused.code, "[campaign.not-confirmed]" in refused.err) == (2, True)
    assert campaigns("send", "winter-sale", "--confirm-id", "1", "--confirm-recipients", "191").code == 2
    sent = campaigns("send", "winter-sale", "--confirm-id", "1", "--confirm-recipients", "190")
    assert (sent.code, "on its way to 190 people" in sent.out) == (0, True)
    assert "no results yet" in campaigns("results", "winter-sale").err
    assert json.loads(campaigns("results", "1", "--json").out)["state"] == "in_process"


def test_a_campaign_is_scheduled_only_with_a_time_zone_and_taken_back(campaigns):
    campaigns("draft", "campaign.yaml")
    campaigns("approve", "1", "--yes")
    typed = ("--confirm-id", "1", "--confirm-recipients", "190")
    assert "[campaign.bad-time]" in campaigns("schedule", "1", "--at", "2099-01-01T09:00", *typed).err
    assert (
        "goes out at 2099-01-01 08:00 UTC" in campaigns("schedule", "1", "--at", "2099-01-01T09:00+01:00", *typed).out
    )
    assert json.loads(campaigns("list", "--json").out)[0]["state"] == "scheduled"
    assert "is a draft again" in campaigns("withdraw", "1").out


def test_a_check_that_fails_ends_with_one_and_writes_nothing(campaigns, tmp_path):
    page = tmp_path / "mail.html"
    page.write_text(page.read_text().replace("contact.FIRSTNAME", "contact.NICKNAME"))
    assert campaigns("check", "campaign.yaml").code == 1
    done = campaigns("draft", "campaign.yaml")
    assert (done.code, "Nothing was written" in done.err) == (1, True)
    assert json.loads(campaigns("list", "--json").out) == []


def test_what_is_shown_as_json_holds_nobody_of_the_recipients(campaigns):
    campaigns("draft", "campaign.yaml")
    found = json.loads(campaigns("show", "1", "--json").out)
    assert (found["recipients"]["reached"], found["recipients"]["samples"], found["is_own"]) == (190, [], True)
    assert "@example.com" not in json.dumps(found)
