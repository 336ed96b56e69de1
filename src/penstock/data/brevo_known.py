"""Which contacts there are: looked up one by one, or met in a scan of the account where that takes fewer calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from penstock.base.errors import RejectedError
from penstock.base.types import Problem
from penstock.data.brevo_contacts import MOST_PER_PAGE, Place, scan
from penstock.data.brevo_targets import NO_SUCH_CONTACT, Target, get_contacts, read_email, spread, width_for
from penstock.runtime.brevo_calls import BrevoCaller

WORTH_COUNTING = 50
"""From so many addresses on a call is spent on learning how large the account is."""


async def find_contacts(caller: BrevoCaller, targets: Iterable[Target]) -> dict[Target, dict[str, Any]]:
    """Read many contacts with the fewest calls; absent ones are left out."""
    wanted = list(dict.fromkeys(targets))
    emails = {target.value: target for target in wanted if target.kind == "email_id"}
    if len(emails) < WORTH_COUNTING or not await _is_scan_cheaper(caller, len(emails)):
        return await get_contacts(caller, wanted)
    found = await get_contacts(caller, [target for target in wanted if target.kind != "email_id"])
    async for contacts, _ in scan(caller, Place(), MOST_PER_PAGE):
        for contact in contacts:
            target = emails.get(read_email(contact.get("email")) or "")
            if target is not None:
                found[target] = contact
        if len(found) == len(wanted):
            break
    return found


async def _is_scan_cheaper(caller: BrevoCaller, singles: int) -> bool:
    total = (await caller.call("contacts.list", query={"limit": 1})).content.get("count")
    return isinstance(total, int) and total / MOST_PER_PAGE < singles / 2


class ContactBook:
    """Says which contacts of a batch there are, and creates the others where that is wished."""

    def __init__(self, caller: BrevoCaller, *, create_contacts: bool) -> None:
        self._caller = caller
        self._create = create_contacts

    async def number(self, targets: Sequence[Target]) -> tuple[dict[Target, int], dict[Target, Problem]]:
        """Return Brevo's numbers of contacts, and why the others have none; raises when Brevo does not answer."""
        known = await find_contacts(self._caller, targets)
        missing = [target for target in dict.fromkeys(targets) if target not in known]
        refused = dict.fromkeys(missing, NO_SUCH_CONTACT)
        if self._create and missing:
            refused |= await self._create_contacts(missing)
            known |= await get_contacts(self._caller, missing)
        numbers = {target: int(contact["id"]) for target, contact in known.items()}
        return numbers, {target: problem for target, problem in refused.items() if target not in numbers}

    async def _create_contacts(self, targets: Sequence[Target]) -> dict[Target, Problem]:
        """Create contacts before what is about them: what belongs to nobody could not be found again after a crash."""
        refused: dict[Target, Problem] = {}

        async def create(target: Target) -> None:
            name = "email" if target.kind == "email_id" else "ext_id"
            try:
                await self._caller.call("contacts.create", body={name: target.value, "updateEnabled": True})
            except RejectedError as error:
                refused[target] = Problem.from_error(error)

        able = [target for target in targets if target.kind != "contact_id"]
        await spread(able, create, width_for(self._caller, "contacts.create"))
        return refused
