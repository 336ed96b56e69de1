"""The words of a flow file about what people allow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec
from pydantic import Field

from penstock.data.consent import Purpose, Rule
from penstock.flows.strict import Strict
from penstock.runtime.store import Store


class ConsentPart(Strict):
    """Whose records may be used. A record or joined row of Brevo says what its person allows."""

    purpose: Purpose = "profiling"
    """What for: profiling, email, sms or whatsapp."""
    lists: list[int] = Field(default=[])
    """Lists of Brevo whose unsubscription counts, beside those of our own making; none: that of any list."""
    groups: list[int] = Field(default=[])
    """Consent groups of Brevo whose unsubscription counts; none: that of any group."""
    unknown: Literal["use", "skip"] = "use"
    """What becomes of people of whom nothing is known."""
    objected: Literal["skip", "clear"] = "skip"
    """What becomes of people who object: skipped, or skipped and the attributes written for them cleared."""

    def rule(self) -> Rule:
        """Return what decides about a contact."""
        return Rule(self.purpose, frozenset(self.lists), frozenset(self.groups), self.unknown == "skip")


async def add_own_lists(rule: Rule, store: Store, places: Iterable[str]) -> Rule:
    """Return a rule that counts our own lists at these accounts (`brevo:<organisation>`), where it names lists."""
    if not rule.lists:
        return rule
    own: set[int] = set()
    for place in places:
        rows = await store.read("once_effects", sink=place, kind="list")
        own.update(int(receipt) for *_, receipt in (row[:5] for row in rows) if receipt.isdecimal())
    return msgspec.structs.replace(rule, own=frozenset(own))
