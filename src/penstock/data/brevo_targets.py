"""Who a write is about: the identifier of a contact as Brevo takes it, and how contacts are looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from penstock.base.errors import PenstockError, RejectedError
from penstock.base.types import Problem
from penstock.runtime.brevo_calls import BrevoCaller

T = TypeVar("T")

SYNTHETIC_DOMAIN = "@mailin-sms.com"
IDS_PER_CALL = 20
WIDTH_PER_RATE = 2.0
WIDEST = 64

NO_SUCH_CONTACT = Problem(
    "brevo.no-such-contact",
    "Brevo has no such contact, and Penstock does not create contacts unless told to",
    "Add the contact in Brevo, or set `create-contacts: true` on the sink.",
)

DELETED = Problem(
    "brevo.contact-deleted",
    "this contact was in Brevo, and is there no more: it is not created again",
    "Add the contact in Brevo if it is to be there, else `penstock forget CONTACT`.",
)


class Target(NamedTuple):
    """One contact by one identifier; `kind` is Brevo's `identifierType`."""

    kind: Literal["contact_id", "ext_id", "email_id"]
    value: str

    @property
    def path(self) -> dict[str, str]:
        """Return the path values of `/contacts/{identifier}`."""
        return {"identifier": self.value}

    @property
    def query(self) -> dict[str, str]:
        """Return the query of `/contacts/{identifier}`."""
        return {"identifierType": self.kind}


class Row(msgspec.Struct, frozen=True):
    """One contact update, ready to send: its place in the batch, who, and the encoded attributes."""

    index: int
    target: Target
    attributes: dict[str, Any]


def read_email(value: Any) -> str | None:
    """Return a person's address in lower case; None for none, and for the addresses that Brevo makes of phones."""
    if not isinstance(value, str):
        return None
    email = value.strip().lower()
    return email if "@" in email and not email.endswith(SYNTHETIC_DOMAIN) else None


def find_target(match: dict[str, Any]) -> Target | Problem:
    """Choose the steadiest identifier that `match` offers: id, then ext_id, then email."""
    contact_id = match.get("id")
    if contact_id not in (None, ""):
        text = str(contact_id)
        if not text.isdecimal():
            return Problem("brevo.bad-identifier", "the contact id of Brevo is a whole number", "Check `match.id`.")
        return Target("contact_id", text)
    ext_id = match.get("ext_id")
    if ext_id not in (None, ""):
        return Target("ext_id", str(ext_id))
    email = read_email(match.get("email"))
    if email is not None:
        return Target("email_id", email)
    return Problem(
        "brevo.no-identifier",
        "the record has no id, ext_id or usable email address to find the contact by",
        "Set `match` of the sink to a column that holds one of them.",
    )


async def get_contact(caller: BrevoCaller, target: Target) -> dict[str, Any] | None:
    """Read one contact; None when Brevo has none."""
    try:
        reply = await caller.call("contacts.get", path=target.path, query=target.query)
    except RejectedError as error:
        if error.code == "brevo.not-found":
            return None
        raise
    content: dict[str, Any] = reply.content
    return content


async def get_contacts(caller: BrevoCaller, targets: Iterable[Target]) -> dict[Target, dict[str, Any]]:
    """Read many contacts: twenty per call where the id is known, else one by one; absent ones are left out."""
    found: dict[Target, dict[str, Any]] = {}
    wanted = list(dict.fromkeys(targets))
    numbers = [int(target.value) for target in wanted if target.kind == "contact_id"]
    groups = [numbers[start : start + IDS_PER_CALL] for start in range(0, len(numbers), IDS_PER_CALL)]

    async def read_group(ids: list[int]) -> None:
        reply = await caller.call("contacts.list", query={"ids": ids, "limit": IDS_PER_CALL})
        for contact in reply.content["contacts"]:
            found[Target("contact_id", str(contact.get("id")))] = contact

    async def read_one(target: Target) -> None:
        contact = await get_contact(caller, target)
        if contact is not None:
            found[target] = contact

    width = width_for(caller, "contacts.list")
    await spread(groups, read_group, width)
    await spread([target for target in wanted if target.kind != "contact_id"], read_one, width)
    return found


def width_for(caller: BrevoCaller, operation: str) -> int:
    """Return how many calls under way keep the allowed pace at answers of up to two seconds."""
    return max(4, min(WIDEST, int(caller.rate_of(operation) * WIDTH_PER_RATE)))


async def spread(items: Sequence[T], work: Callable[[T], Awaitable[None]], width: int) -> None:
    """Do `work` on every item, `width` at a time; on a failure nothing new starts, and it raises when all is quiet."""
    waiting = iter(items)
    failures: list[PenstockError] = []

    async def run_worker() -> None:
        for item in waiting:
            if failures:
                return
            try:
                await work(item)
            except PenstockError as error:
                failures.append(error)

    await asyncio.gather(*(run_worker() for _ in range(min(width, len(items)))))
    if failures:
        raise failures[0]
