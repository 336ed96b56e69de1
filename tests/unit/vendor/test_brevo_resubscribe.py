"""No path through the code lets messages go to somebody who opted out."""

from __future__ import annotations

import ast
import asyncio
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock
from penstock.base.errors import DefectError
from penstock.base.types import Problem
from penstock.data.brevo_schema import IDENTITY, Attribute, encode
from penstock.vendor.brevo import Brevo
from penstock.vendor.brevo_endpoints import ENDPOINTS
from penstock.vendor.http import Http

FLAGS = (
    "emailBlacklisted",
    "smsBlacklisted",
    "whatsappBlacklisted",
    "smtpBlacklistSender",
    "emailBlacklist",
    "smsBlacklist",
)
READERS = {"vendor/brevo.py", "data/consent.py", "data/brevo_contacts.py"}
"""The guard itself, what tells from a contact whether its person objects, and what reads contacts into records."""
CALLS = (*ENDPOINTS,)

plain = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))
values = st.recursive(
    plain, lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=5), part, max_size=3)
)


async def refuse(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the request left")


CLIENT = Brevo(Http(apps={"api.brevo.com": refuse}), "xkeysib-test-0123")


async def ask(operation: str, body: Any) -> None:
    await CLIENT.send(operation, path=dict.fromkeys(("identifier", "id", "category", "name"), "1"), body=body)


@pytest.mark.parametrize("operation", CALLS)
async def test_no_endpoint_takes_a_body_that_lifts_a_blocklisting(operation: str) -> None:
    for flag, value in product(FLAGS, (False, None, 0, "false", "")):
        for body in ({flag: value}, {"contacts": [{"attributes": {flag: value}}]}, [{"jsonBody": [[{flag: value}]]}]):
            with pytest.raises(DefectError) as caught:
                await ask(operation, body)
            assert caught.value.code == "brevo.resubscribe"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CALLS), st.sampled_from(FLAGS), values, st.lists(st.sampled_from("ld"), max_size=6))
def test_wherever_the_flag_stands_only_true_may_leave(operation: str, flag: str, value: Any, depth: list[str]) -> None:
    body: Any = {flag: value}
    for step in depth:
        body = [body] if step == "l" else {"inner": body}
    if value is True:
        return
    with pytest.raises(DefectError):
        asyncio.run(ask(operation, body))


def test_the_flags_are_named_nowhere_but_in_the_guard_and_where_they_are_read() -> None:
    root = Path(penstock.__file__).parent
    found = set()
    for path in root.rglob("*.py"):
        name = path.relative_to(root).as_posix()
        if name.startswith("sandbox/"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in FLAGS:
                found.add(name)
            if isinstance(node, ast.keyword) and node.arg in FLAGS:
                found.add(name)
    assert found >= READERS
    writers = {name for name in found - READERS if _writes(root / name)}
    assert not writers, "these set a blocklist flag"


def _writes(path: Path) -> bool:
    """Tell whether a module gives a flag a value, rather than reading it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Dict) and any(
            isinstance(key, ast.Constant) and key.value in FLAGS for key in node.keys
        ):
            return True
        if (
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.slice, ast.Constant)
            and node.slice.value in FLAGS
        ):
            return True
        if isinstance(node, ast.keyword) and node.arg in FLAGS:
            return True
    return False


@given(st.sampled_from(IDENTITY), values, st.sampled_from(["normal", "category", "transactional"]))
def test_an_address_is_never_written_for_a_new_one_lifts_a_blocklisting(name: str, value: Any, category: str) -> None:
    assert isinstance(encode(Attribute(name, category, "text"), name, value), Problem)
    assert isinstance(encode(None, name, value), Problem)
