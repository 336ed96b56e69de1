import pytest

from penstock.base.clock import ManualClock
from penstock.base.errors import AccessError
from penstock.runtime.checks import check_conversions
from penstock.vendor.ads import Pixel
from penstock.vendor.conversions import Conversions, read_verdict
from penstock.vendor.http import Reply

SCOPES = b'{"error":{"message":"Missing scopes: ads.third_party_events.write"}}'
PIXELS = [Pixel("cds_1", "PixelOne", "Shop"), Pixel("cds_2", "PixelTwo", "Blog")]


class Fixed(Conversions):
    """Gives one answer to everything, and keeps what it was given."""

    def __init__(self, status, body=b"", pixel_id="PixelOne"):
        self.pixel_id = pixel_id
        self.reply = Reply(status, {}, body, "bzr.openai.com")
        self.sent = []

    async def send(self, events, *, validate_only=False, integration_source="penstock"):
        self.sent.append((list(events), validate_only))
        return read_verdict(self.reply, len(events), self.pixel_id)


async def refused():
    raise AccessError("no")


async def taken():
    return "ok"


async def listed():
    return PIXELS


async def look(client, kinds=None, pixels=None):
    (finding,) = await check_conversions(client, ManualClock().now(), kinds=kinds or {}, pixels=pixels)
    return finding


async def test_the_probe_saves_nothing():
    client = Fixed(200, b'{"accepted_events": 1}')
    finding = await look(client)
    assert finding.verdict == "ok"
    assert [validate_only for _, validate_only in client.sent] == [True]


async def test_the_kind_of_a_key_without_the_scope_is_found_out():
    kinds = {"an Advertiser key": refused, "a platform key": taken}
    assert "a platform key" in (await look(Fixed(401, SCOPES), kinds)).message
    assert "of no other kind" in (await look(Fixed(401, SCOPES), {"an Advertiser key": refused})).message


@pytest.mark.parametrize(
    ("pixel_id", "message", "fix"),
    [
        ("cds_2", "source id of 'Blog'", "PixelTwo"),
        ("PixelOne", "not of the ad account", "setup key"),
        ("PixelSix", "does not know", "PixelOne (Shop), PixelTwo (Blog)"),
    ],
)
async def test_a_refused_pixel_id_is_looked_up_in_the_ad_account(pixel_id, message, fix):
    body = b'{"error":{"message":"403: unknown pid","type":"server_error","param":null,"code":null}}'
    finding = await look(Fixed(403, body, pixel_id), pixels=listed)
    assert finding.verdict == "fail"
    assert message in finding.message
    assert fix in finding.fix


async def test_without_the_ad_account_the_refusal_speaks_for_itself():
    body = b'{"error":{"message":"403: unknown pid"}}'
    assert "cds_" in (await look(Fixed(403, body, "cds_9"))).message
    assert "not its Pixel ID" in (await look(Fixed(403, body, "cds_9"), pixels=refused)).message


@pytest.mark.parametrize(
    ("status", "body", "verdict", "word"),
    [
        (401, b'{"error":{"message":"Unauthorized"}}', "fail", "does not know the key"),
        (404, b"<html>", "fail", "no Conversions API"),
        (200, b"<html>hello</html>", "fail", "without saying"),
        (400, b'{"error":{"message":"bad"}}', "fail", "a plain event was refused"),
        (429, b"", "warn", "too fast"),
        (503, b"", "fail", "failed"),
        (403, b"<html>1010</html>", "fail", "does not allow"),
    ],
)
async def test_every_cause_has_a_verdict_and_a_fix(status, body, verdict, word):
    finding = await look(Fixed(status, body))
    assert (finding.verdict, word in finding.message, bool(finding.fix)) == (verdict, True, True)
