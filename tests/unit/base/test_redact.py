"""Text leaves the program without keys and personal data."""

from __future__ import annotations

import pytest

from penstock.base.redact import fingerprint, mask_key, redact, redact_value, register_secret


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("key sk-proj-abcdef123456 refused", "key [key] refused"),
        ("xkeysib-fedcba9876543210", "[key]"),
        ("Authorization: Bearer abc.def-ghi123", "Authorization: Bearer [key]"),
        ("postgresql://me:secret@host/db", "postgresql://me:[password]@host/db"),
        ("write to ann.lee+x@mail.example.com now", "write to [email] now"),
        ("call +49 170 1234567 today", "call [number] today"),
        ("100,000 events in 12 s", "100,000 events in 12 s"),
        ("it ends on 2027-01-06; use another", "it ends on 2027-01-06; use another"),
        ("born on 1980-05-12, call 2030-11-22 33", "born on [number], call [number]"),
        ("run_01m7wenj2yvc6ghd2h34ky", "run_01m7wenj2yvc6ghd2h34ky"),
    ],
)
def test_keys_addresses_and_numbers_are_replaced(text: str, wanted: str) -> None:
    assert redact(text) == wanted


def test_a_field_that_is_named_like_a_secret_is_replaced_whole() -> None:
    value = {"api-key": "whatever", "nested": [{"token": "t", "name": "Ann"}], "count": 3}
    assert redact_value(value) == {"api-key": "[key]", "nested": [{"token": "[key]", "name": "Ann"}], "count": 3}


def test_marks_tell_two_keys_apart_without_showing_them() -> None:
    assert mask_key("sk-one-secret") != mask_key("sk-two-secret")
    assert "secret" not in mask_key("sk-one-secret")
    assert fingerprint("a@b.example") == fingerprint("a@b.example") != fingerprint("c@d.example")


def test_of_two_secrets_that_begin_alike_nothing_stays() -> None:
    for secret in ("tulip-7421", "tulip-7421-blue-ocean", "tulip-7421-blue"):
        register_secret(secret)
    assert redact("it was tulip-7421-blue-ocean, then tulip-7421-blue") == "it was [key], then [key]"
