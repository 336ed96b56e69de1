"""The cases and error examples that were collected with the contract, against client and emulator."""

import copy
import json
import os
import re
from pathlib import Path

import msgspec
import pytest
from conversions_desk import Desk

from penstock.vendor.conversions import read_verdict
from penstock.vendor.http import Reply

FOLDER = Path(os.environ.get("PENSTOCK_SHARED") or Path(__file__).parents[3] / "shared")
FILE = FOLDER / "contracts" / "conversions-vectors.json"
VECTORS = (
    json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"payload_cases": [], "error_examples": []}
)
KINDS = {
    "permanent, event-indexed": "rejected",
    "configuration, pause destination": ("access", "pixel"),
    "configuration, pause destination, explain key kinds": "access",
    "configuration": ("pixel", "access"),
    "client bug": "unknown",
}

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="the collected vectors are not beside this repository")


def steps(path):
    return [int(part) if part.isdigit() else part for part in re.split(r"[.\[\]]+", path) if part]


def build(case, now_ms):
    """Return the events of a case at a moment."""
    change = case.get("mutation", {})
    base = next(one for one in VECTORS["payload_cases"] if one["name"] == change.get("base", case["name"]))
    event = copy.deepcopy(base["event"])
    for path, value in change.get("set", {}).items():
        *above, last = steps(path)
        place = event
        for step in above:
            place = place[step]
        place[last] = value
    if "remove" in change:
        *above, last = steps(change["remove"])
        place = event
        for step in above:
            place = place[step]
        del place[last]
    if match := re.fullmatch(r"NOW([+-]\d+)?", str(event["timestamp_ms"])):
        event["timestamp_ms"] = now_ms + int(match[1] or 0)
    return [event] * change.get("repeat", 1)


@pytest.mark.parametrize("case", VECTORS["payload_cases"], ids=lambda case: case["name"])
async def test_a_collected_case_is_judged_as_the_contract_says(case):
    desk = Desk()
    verdict = await desk.send(*build(case, round(desk.clock.now() * 1000)))
    assert verdict.kind == ("accepted" if case["valid"] else "rejected")
    expected = case.get("expect", {})
    if "http" in expected:
        assert (verdict.status, verdict.code) == (expected["http"], expected["code"])
    if "nested" in expected:
        assert verdict.pointers[0].code == expected["nested"]


@pytest.mark.parametrize("example", VECTORS["error_examples"], ids=lambda one: f"{one['http']} {one.get('trigger')}")
def test_a_collected_error_is_classified_as_the_contract_says(example):
    if example.get("host", "bzr.openai.com") != "bzr.openai.com":
        return  # of the Ads API: test_conversions_setup.py
    status = 503 if example["http"] == "5xx" else example["http"]
    body = example.get("body") or {"error": {"message": example.get("message_contains", "")}}
    verdict = read_verdict(Reply(status, {}, msgspec.json.encode(body), "bzr.openai.com"), 2, "PixelOne")
    wanted = KINDS.get(example["classify"]) or {429: "throttled", 503: "unavailable"}[status]
    assert verdict.kind in wanted
    if wanted == "rejected":
        assert verdict.pointers


async def test_the_emulator_answers_with_the_collected_bodies():
    desk = Desk()
    wanted = [
        one["body"] for one in VECTORS["error_examples"] if one.get("body") and one["http"] in (400, 401, 403, 422)
    ]
    lead = msgspec.json.encode(desk.lead(1))
    old = desk.lead(2, timestamp_ms=1_000_000_000_000)
    calls = [
        desk.client().send([lead, msgspec.json.encode(desk.lead(2, data={}))]),
        desk.client().send([msgspec.json.encode(old)]),
        desk.client("sk-invalid-0123").send([lead]),
        desk.client(pixel_id="nobody").send([lead]),
        desk.client(pixel_id="").send([lead]),
    ]
    given = [msgspec.json.decode((await desk.clock.run(call)).body) for call in calls]
    assert [one for one in wanted if one not in given] == []
