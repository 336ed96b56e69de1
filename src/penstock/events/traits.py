"""What an event has, as bits beside it, so that millions are summed up without being read."""

from __future__ import annotations

import hashlib

from penstock.events.event import Event

TRAITS = (
    "oppref",
    "obref",
    "email",
    "phone",
    "external_id",
    "name",
    "geography",
    "android_advertising_id",
    "ip_address",
    "user_agent",
    "amount",
    "contents",
    "opt_out",
    "web",
    "currency_alone",
)
"""Names of the bits, lowest first; a new one goes at the end."""
BIT = {name: 1 << index for index, name in enumerate(TRAITS)}
STRONG = ("oppref", "obref", "email", "phone", "external_id")
"""What a match can rest on; address and user agent alone are too weak (an implementer's reading, 2026-07)."""


def read_traits(event: Event) -> int:
    """Return the bits of an event."""
    user, data = event.user, event.data
    found = {
        "oppref": event.oppref,
        "amount": data.get("amount") is not None,
        "contents": data.get("contents"),
        "opt_out": event.opt_out,
        "web": event.action_source == "web",
        "currency_alone": data.get("currency") and data.get("amount") is None,
    }
    if user is not None:
        found |= {
            "obref": user.obref,
            "email": user.emails_sha256,
            "phone": user.phone_numbers_sha256,
            "external_id": user.external_ids_sha256,
            "name": user.first_names_sha256 or user.last_names_sha256,
            "geography": user.countries or user.regions or user.cities or user.postal_codes,
            "android_advertising_id": user.android_advertising_id,
            "ip_address": user.ip_address,
            "user_agent": user.user_agent,
        }
    return sum(BIT[name] for name, value in found.items() if value)


def names_of(traits: int) -> list[str]:
    """Return the names of the bits that are set."""
    return [name for name, bit in BIT.items() if traits & bit]


def likeness_of(body: bytes, event_id: str) -> int:
    """Return a number that events share which differ in their id only, as 63 bits."""
    rest = body.replace(event_id.encode(), b"", 1)
    return int.from_bytes(hashlib.blake2b(rest, digest_size=8).digest(), "big") >> 1
