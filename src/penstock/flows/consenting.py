"""The words of a flow file about what people allow."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.data.consent import Purpose, Rule
from penstock.flows.strict import Strict


class ConsentPart(Strict):
    """Whose records may be used. A record or joined row of Brevo says what its person allows."""

    purpose: Purpose = "profiling"
    """What for: profiling, email, sms or whatsapp."""
    lists: list[int] = Field(default=[])
    """Lists of Brevo whose unsubscription counts; none: that of any list."""
    groups: list[int] = Field(default=[])
    """Consent groups of Brevo whose unsubscription counts; none: that of any group."""
    unknown: Literal["use", "skip"] = "use"
    """What becomes of people of whom nothing is known."""
    objected: Literal["skip", "clear"] = "skip"
    """What becomes of people who object: skipped, or skipped and the attributes written for them cleared."""

    def rule(self) -> Rule:
        """Return what decides about a contact."""
        return Rule(self.purpose, frozenset(self.lists), frozenset(self.groups), self.unknown == "skip")
