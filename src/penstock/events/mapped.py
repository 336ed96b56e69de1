"""What becomes of one record: an event, or the fields and reasons why there is none."""

from __future__ import annotations

import msgspec

from penstock.events.event import Event


class Refusal(msgspec.Struct, frozen=True):
    """Why a record gives no event: the field in the vendor's or the mapping's name, and what to do."""

    code: str
    field: str
    message: str
    hint: str = ""


class Mapped(msgspec.Struct, gc=False):
    """The event of one record or its refusals; warnings say what was left out of the event.

    `pixel_id` and `connection` are set where the mapping or the record overrides the destination.
    Texts name fields and reasons, never the values of people.
    """

    event: Event | None = None
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()
    pixel_id: str | None = None
    connection: str | None = None
    validate_only: bool = False

    @property
    def is_opted_out(self) -> bool:
        """Whether the person does not want it: no failure, and never to be tried again."""
        return any(one.code == OPTED_OUT for one in self.refusals)


OPTED_OUT = "event.opted-out"
"""Code of the refusal where the field `consent` is mapped and the person has not consented."""
