"""A conversion event that may be sent: it holds hashes of people, never the people themselves."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events.identifiers import Sha256


class User(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who did it, in the vendor's names; lists hold at most three values."""

    emails_sha256: tuple[Sha256, ...] = ()
    phone_numbers_sha256: tuple[Sha256, ...] = ()
    external_ids_sha256: tuple[Sha256, ...] = ()
    first_names_sha256: tuple[Sha256, ...] = ()
    last_names_sha256: tuple[Sha256, ...] = ()
    countries: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    cities: tuple[str, ...] = ()
    postal_codes: tuple[str, ...] = ()
    android_advertising_id: str = ""
    obref: str = ""
    ip_address: str = ""
    user_agent: str = ""

    def __post_init__(self) -> None:
        for value in (
            *self.emails_sha256,
            *self.phone_numbers_sha256,
            *self.external_ids_sha256,
            *self.first_names_sha256,
            *self.last_names_sha256,
        ):
            if type(value) is not Sha256:  # the last guard where a type checker was not asked
                raise TypeError("an identifier reaches an event only as Sha256")


class Event(msgspec.Struct, frozen=True, gc=False):
    """An event that is valid by the contract as known here; only the vendor can say more.

    `name` is what deduplication goes by: the type, or the lower-cased custom name. `traces`
    say for each hash which field it came from. `warnings` are what was left out, and why.
    """

    id: str
    type: str
    timestamp_ms: int
    name: str
    data: dict[str, Any]
    custom_event_name: str = ""
    action_source: str = ""
    source_url: str = ""
    oppref: str = ""
    opt_out: bool = False
    user: User | None = None
    traces: dict[str, str] = {}
    warnings: tuple[str, ...] = ()


class _Wire(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One element of `events`, exactly as it is sent."""

    id: str
    type: str
    timestamp_ms: int
    data: dict[str, Any]
    custom_event_name: str = ""
    action_source: str = ""
    source_url: str = ""
    oppref: str = ""
    opt_out: bool = False
    user: User | None = None


_encode = msgspec.json.Encoder(enc_hook=str.strip).encode
"""The hook sees what JSON does not have: of that, it takes text such as `Sha256`, which has no blanks to lose and
becomes plain in the quickest way, and refuses all else."""


def encode_event(event: Event) -> bytes:
    """Return the JSON object of one element of `events`, without spaces."""
    return _encode(
        _Wire(
            event.id,
            event.type,
            event.timestamp_ms,
            event.data,
            event.custom_event_name,
            event.action_source,
            event.source_url,
            event.oppref,
            event.opt_out,
            event.user,
        )
    )
