"""The whole table of Brevo's endpoints: how each is repeated, what each refuses, what each takes for an answer."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import DefectError, PenstockError, ThrottledError, UnavailableError
from penstock.runtime.brevo_calls import ATTEMPTS, THROTTLED_ATTEMPTS, BrevoCaller
from penstock.vendor.brevo import Brevo, read_reply
from penstock.vendor.brevo_endpoints import ENDPOINTS, FAMILIES, Endpoint
from penstock.vendor.http import Http, Reply

NEVER = {"/emailCampaigns/{}/sendNow", "/emailCampaigns/{}/sendTest", "/smtp/templates/{}/sendTest", "/smtp/email"}
"""What leaves for people cannot be called back (reference, class R0)."""

SAFE_POSTS = {
    "/contacts",
    "/contacts/import",
    "/contacts/attributes/{}/{}",
    "/contacts/lists/{}/contacts/add",
    "/contacts/lists/{}/contacts/remove",
    "/contacts/export",
    "/smtp/template/preview",
    "/orders/status",
    "/orders/status/batch",
    "/products",
    "/products/batch",
    "/categories",
    "/categories/batch",
}
"""A second POST of the same body here leaves what the first one left (class R2); of any other it makes another one."""

ERROR = {"code": "internal_error", "message": "planned"}
every_endpoint = pytest.mark.parametrize("name", sorted(ENDPOINTS))


def shape(endpoint: Endpoint) -> str:
    return re.sub(r"\{[^}]+\}", "{}", endpoint.path)


def reply(status: int, content: Any) -> Reply:
    return Reply(status, {}, msgspec.json.encode(content), "api.brevo.com")


class Script:
    """Answers each request with the same status and body, and counts them; status 0 cuts the connection."""

    def __init__(self, status: int, body: Any = ERROR) -> None:
        self.status, self.body, self.asked = status, msgspec.json.encode(body), 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked += 1
        if not self.status:
            raise ConnectionResetError
        headers = [(b"x-sib-ratelimit-reset", b"1")] if self.status == 429 else []
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


async def ask(name: str, script: Script) -> int:
    """Call an endpoint that fails for good; returns how often it was asked."""
    clock = ManualClock()
    caller = BrevoCaller(Brevo(Http(apps={"api.brevo.com": script}), "xkeysib-0123456789"), clock)
    endpoint = ENDPOINTS[name]
    path = dict.fromkeys(re.findall(r"\{([^}]+)\}", endpoint.path), "1")
    body = None if endpoint.method == "GET" else {}
    with pytest.raises((UnavailableError, ThrottledError)):
        await clock.run(caller.call(name, path=path, body=body))
    return script.asked


@every_endpoint
def test_the_class_is_the_contracts(name):
    endpoint = ENDPOINTS[name]
    if endpoint.method == "POST":
        expected = "never" if shape(endpoint) in NEVER else "safe" if shape(endpoint) in SAFE_POSTS else "unsent"
        assert endpoint.retry == expected
    else:
        assert endpoint.retry == "safe"


def test_every_family_is_used_and_known():
    assert {endpoint.family for endpoint in ENDPOINTS.values()} == set(FAMILIES)


@every_endpoint
@pytest.mark.parametrize("status", [500, 503, 408])
async def test_a_failing_server_is_asked_again_only_where_that_is_safe(name, status):
    asked = await ask(name, Script(status))
    assert asked == (ATTEMPTS if ENDPOINTS[name].retry == "safe" else 1)


@every_endpoint
async def test_what_was_refused_as_too_fast_or_too_early_was_not_done(name):
    once = ENDPOINTS[name].retry == "never"
    assert await ask(name, Script(429)) == (1 if once else THROTTLED_ATTEMPTS)
    assert await ask(name, Script(425)) == (1 if once else ATTEMPTS)


@every_endpoint
async def test_a_good_status_with_an_error_in_it_is_a_failure(name):
    good = ENDPOINTS[name].good[0]
    assert await ask(name, Script(good)) == (ATTEMPTS if ENDPOINTS[name].retry == "safe" else 1)


@every_endpoint
def test_a_partial_success_is_never_taken_for_a_whole_one(name):
    endpoint = ENDPOINTS[name]
    content = {"status": "partial_success", "failed_events": 1, "errors": [{"eventIndex": [0], "message": "no"}]}
    if 207 in endpoint.good:
        assert read_reply(name, endpoint, reply(207, content)).status == 207
    else:
        with pytest.raises(UnavailableError) as caught:
            read_reply(name, endpoint, reply(207, content))
        assert caught.value.code == "brevo.error-in-answer"


@every_endpoint
async def test_a_misspelt_parameter_is_refused_before_it_is_sent(name):
    script = Script(200)
    client = Brevo(Http(apps={"api.brevo.com": script}), "xkeysib-0123456789")
    known = next(iter(sorted(ENDPOINTS[name].query)), "limit")
    for wrong in (known[:-1], known.swapcase(), known + "_"):
        with pytest.raises(DefectError):
            await client.send(name, query={wrong: "1"})
    assert script.asked == 0


@every_endpoint
def test_a_read_without_what_belongs_in_it_never_reads_as_no_data(name):
    endpoint = ENDPOINTS[name]
    if endpoint.method != "GET":
        return
    wrong = [{}, {"message": "ok"}, {endpoint.collection: None}] if endpoint.collection else []
    for content in [*wrong, [], None, "maintenance"]:
        with pytest.raises(PenstockError):
            read_reply(name, endpoint, reply(200, content))


def test_the_time_of_an_answer_is_read_from_brevos_own_clock():
    answer = Reply(200, {"date": "Fri, 20 Nov 2026 10:00:00 GMT"}, b'{"id": 1}', "api.brevo.com")
    assert read_reply("contacts.get", ENDPOINTS["contacts.get"], answer).date == 1795168800.0
    odd = Reply(200, {"date": "soon"}, b'{"id": 1}', "api.brevo.com")
    assert read_reply("contacts.get", ENDPOINTS["contacts.get"], odd).date is None
