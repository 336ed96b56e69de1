"""What a contact allows, from what Brevo says of it: one verdict per purpose, the strictest sign first.

The order is that of the contract (2026-11): forgotten, objected here, blocklisted, consent group unsubscribed,
list unsubscribed, unknown, subscribed. Silence proves nothing, and no consent is made up from a date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Purpose = Literal["profiling", "email", "sms", "whatsapp"]
State = Literal["forgotten", "objected", "blocklisted", "group", "list", "unknown", "subscribed"]

SIGNS = ("emailBlacklisted", "listUnsubscribed", "consentGroups")
"""Fields by which a row is known to be a Brevo contact; the first is always there."""
_FLAGS: dict[Purpose, str] = {
    "profiling": "emailBlacklisted",
    "email": "emailBlacklisted",
    "sms": "smsBlacklisted",
    "whatsapp": "whatsappBlacklisted",
}
_NO: frozenset[State] = frozenset(("forgotten", "objected", "blocklisted", "group", "list"))


class Rule(msgspec.Struct, frozen=True):
    """What a flow uses contacts for, and which lists and consent groups say yes or no to it; none named: all do.

    `needs_yes` leaves out people of whom nothing is known. `own` are lists of our own making: who left one of them
    said no to what we do, whichever lists are named.
    """

    purpose: Purpose = "profiling"
    lists: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    needs_yes: bool = False
    own: frozenset[int] = frozenset()


PROFILING = Rule()


def is_contact(row: Mapping[str, Any]) -> bool:
    """Tell whether a row says what its person allows."""
    return any(sign in row for sign in SIGNS)


def consent_of(contact: Mapping[str, Any], rule: Rule, barred: Literal["", "forgotten", "objected"] = "") -> State:
    """Return what a contact says about a purpose; `barred` is what is known of it here."""
    if barred:
        return barred
    if _is_set(contact.get(_FLAGS[rule.purpose])):
        return "blocklisted"
    groups = _statuses(contact.get("consentGroups"), rule.groups)
    if "unsubscribed" in groups:
        return "group"
    left = _numbers(contact.get("listUnsubscribed"))
    if left & (rule.lists | rule.own) if rule.lists else left:
        return "list"
    joined = _numbers(contact.get("listIds")) - left
    return "subscribed" if "subscribed" in groups or joined & rule.lists else "unknown"


def is_refused(state: State) -> bool:
    """Tell whether a verdict forbids the purpose; `unknown` does not by itself."""
    return state in _NO


def is_allowed(contact: Mapping[str, Any], rule: Rule) -> bool:
    """Tell whether what a contact says lets it be used."""
    state = consent_of(contact, rule)
    return state == "subscribed" if rule.needs_yes else not is_refused(state)


def _is_set(value: Any) -> bool:
    """Read a flag; what cannot be read counts as set, so that a misreading never profiles anybody."""
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false", "0", "no")
    return value not in (None, False, 0)


def _statuses(value: Any, chosen: frozenset[int]) -> set[str]:
    if not isinstance(value, (list, tuple)):
        return set()
    return {
        str(one.get("status", "")).lower()
        for one in value
        if isinstance(one, Mapping) and (not chosen or one.get("id") in chosen)
    }


def _numbers(value: Any) -> set[int]:
    return {one for one in value if isinstance(one, int)} if isinstance(value, (list, tuple)) else set()
