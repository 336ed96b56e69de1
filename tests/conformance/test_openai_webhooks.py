"""Webhooks of OpenAI: our verification beside the official SDK's own."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import InvalidWebhookSignatureError, OpenAI

from penstock.base.errors import AccessError, InputError, SettingsError
from penstock.vendor.openai_webhooks import sign, verify

SECRET = "whsec_" + base64.b64encode(b"the present secret of 32 bytes!!").decode()
OLD = "whsec_" + base64.b64encode(b"the retired secret, also of 32 b").decode()
BODY = json.dumps(
    {
        "object": "event",
        "id": "evt_1",
        "type": "batch.completed",
        "created_at": 1_795_000_000,
        "data": {"id": "batch_1"},
    }
).encode()
NOW = 1_795_000_000


def headers(secret: str = SECRET, *, body: bytes = BODY, at: int = NOW, message: str = "wh_1") -> dict[str, str]:
    return {"webhook-id": message, "webhook-timestamp": str(at), "webhook-signature": sign(message, at, body, secret)}


@pytest.fixture(scope="module")
def sdk() -> Any:
    with OpenAI(api_key="sk-test", webhook_secret=SECRET) as client:
        yield client


def test_the_sdk_accepts_what_we_sign(sdk: OpenAI) -> None:
    event = sdk.webhooks.unwrap(BODY, headers(at=int(time.time())))
    assert event.type == "batch.completed"
    assert event.data.id == "batch_1"


def test_a_signed_message_is_read() -> None:
    event = verify(headers(), BODY, [SECRET], NOW)
    assert (event.message, event.id, event.type, event.data_id) == ("wh_1", "evt_1", "batch.completed", "batch_1")
    assert event.created_at == NOW


def test_the_published_vector_of_standard_webhooks_is_accepted() -> None:
    # The example that the reference libraries of Standard Webhooks share.
    body = b'{"test": 2432232314}'
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert sign(given["webhook-id"], 1614265330, body, secret) == given["webhook-signature"]
    with pytest.raises(InputError, match="not an event"):  # signed, but without a type
        verify(given, body, [secret], 1614265330)


@pytest.mark.parametrize("secrets", [[SECRET], [SECRET, OLD], [OLD, SECRET]])
def test_rotation_accepts_each_secret_that_is_listed(secrets: list[str]) -> None:
    assert verify(headers(SECRET), BODY, secrets, NOW).message == "wh_1"
    if OLD in secrets:
        assert verify(headers(OLD), BODY, secrets, NOW).message == "wh_1"
    else:
        with pytest.raises(AccessError, match="no signature"):
            verify(headers(OLD), BODY, secrets, NOW)


def test_one_good_signature_among_several_is_enough() -> None:
    many = headers()
    many["webhook-signature"] = f"v1,AAAA v2,other {sign('wh_1', NOW, BODY, OLD)} {many['webhook-signature']}"
    assert verify(many, BODY, [SECRET], NOW).message == "wh_1"


def test_more_signatures_than_anybody_sends_are_refused() -> None:
    many = headers()
    many["webhook-signature"] = " ".join([many["webhook-signature"]] * 17)
    with pytest.raises(AccessError) as caught:
        verify(many, BODY, [SECRET], NOW)
    assert caught.value.code == "webhook.unsigned"


@pytest.mark.parametrize(
    ("age", "code"),
    [(300, ""), (-300, ""), (301, "webhook.too-old"), (-301, "webhook.too-new"), (10**9, "webhook.too-old")],
)
def test_both_time_bounds_are_five_minutes(age: int, code: str) -> None:
    given = headers(at=NOW - age)
    if not code:
        assert verify(given, BODY, [SECRET], NOW).message == "wh_1"
        return
    with pytest.raises(AccessError) as caught:
        verify(given, BODY, [SECRET], NOW)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": ""},
        {"webhook-id": "x" * 257},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "-5"},
        {"webhook-timestamp": "١٢٣"},
        {"webhook-signature": ""},
        {"webhook-signature": "v2,AAAA"},
        {"webhook-signature": "v1"},
    ],
)
def test_a_message_without_proper_headers_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(AccessError) as caught:
        verify({**headers(), **change}, BODY, [SECRET], NOW)
    assert caught.value.code == "webhook.unsigned"


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(AccessError, match="no signature"):
        verify(headers(), BODY, [], NOW)


def test_a_secret_that_is_not_base64_is_named() -> None:
    with pytest.raises(SettingsError, match="base64"):
        verify(headers(), BODY, ["whsec_***"], NOW)


@given(st.binary(max_size=200), st.text(min_size=1, max_size=40), st.binary(min_size=1, max_size=64))
def test_whatever_is_changed_after_signing_is_refused(body: bytes, message: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    signed = headers(secret, body=body, message=message)
    for given_headers, given_body in (
        ({**signed, "webhook-id": message + "x"}, body),
        ({**signed, "webhook-timestamp": str(NOW + 1)}, body),
        (signed, body + b" "),
    ):
        with pytest.raises(AccessError):
            verify(given_headers, given_body, [secret], NOW)


@given(st.text("abc=+/19", max_size=60))
def test_the_sdk_and_we_agree_on_every_signature(sdk: OpenAI, tail: str) -> None:
    now = int(time.time())
    right = headers(at=now)
    for text in (f"v1,{tail}", f"{right['webhook-signature']} v1,{tail}", f"v1,{tail} {right['webhook-signature']}"):
        given_headers = {**right, "webhook-signature": text}
        try:
            sdk.webhooks.verify_signature(BODY, given_headers)
            theirs = True
        except InvalidWebhookSignatureError:
            theirs = False
        try:
            verify(given_headers, BODY, [SECRET], now)
            ours = True
        except AccessError:
            ours = False
        assert ours == theirs
