"""No body that leaves for Brevo can lift a blocklisting."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock
from penstock.base.errors import DefectError
from penstock.vendor.brevo import Brevo
from penstock.vendor.http import Http

FLAGS = (
    "emailBlacklisted",
    "smsBlacklisted",
    "whatsappBlacklisted",
    "smtpBlacklistSender",
    "emailBlacklist",
    "smsBlacklist",
)
FALSE = st.sampled_from([False, None, 0, "", "false", []])
VALUES = st.recursive(
    st.integers() | st.text(), lambda part: st.lists(part, max_size=2) | st.dictionaries(st.text(), part, max_size=2)
)


async def answer(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def send(operation: str, body: Any) -> None:
    http = Http(apps={"127.0.0.1": answer})
    client = Brevo(http, "xkeysib-0123456789abcdef", base_url="http://127.0.0.1/v3")
    path = {"identifier": "1"} if operation == "contacts.update" else {}
    try:
        await client.send(operation, path=path, body=body)
    finally:
        await http.close()


@given(
    st.sampled_from(FLAGS), FALSE, st.sampled_from(["contacts.update", "contacts.create", "contacts.import"]), VALUES
)
async def test_a_flag_that_is_not_true_never_leaves(flag: str, value: Any, operation: str, other: Any) -> None:
    for body in (
        {flag: value, "other": other},
        {"jsonBody": [{"email": "a@b.example", flag: value}]},
        [[{flag: value}]],
    ):
        with pytest.raises(DefectError) as caught:
            await send(operation, body)
        assert caught.value.code == "brevo.resubscribe"


async def test_blocklisting_somebody_and_writing_about_it_is_allowed() -> None:
    await send("contacts.update", {"emailBlacklisted": True})
    await send("contacts.update", {"attributes": {"NOTE": "asked about emailBlacklisted"}})


def test_no_source_writes_such_a_flag() -> None:
    """They are read in four places, and named in one more that refuses them."""
    root = Path(penstock.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "sandbox" not in path.parts and re.search("|".join(FLAGS), path.read_text(encoding="utf-8"))
    }
    assert found <= {
        "data/brevo_contacts.py",
        "data/brevo_recipients.py",
        "data/consent.py",
        "flows/segment_people.py",
        "vendor/brevo.py",
    }
