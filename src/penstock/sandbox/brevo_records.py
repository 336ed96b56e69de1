"""Contacts, lists, writes and queries of the Brevo emulator as values, and what makes an identifier valid."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.sandbox.brevo_wire import RefusedError, invalid

PHONE_KINDS = ("SMS", "WHATSAPP", "LANDLINE_NUMBER")
KINDS = ("email", "ext_id", *PHONE_KINDS)
_EMAIL = re.compile(r"[^@\s;,<>\"]+@[^@\s.;,<>\"]+(?:\.[^@\s.;,<>\"]+)+")
_PHONE = re.compile(r"(?:\+|00)?([1-9]\d{6,14})")


class Contact(msgspec.Struct, gc=False):
    """One contact; times are milliseconds since 1970."""

    id: int
    created: int
    modified: int
    email: str = ""
    ext_id: str = ""
    attributes: dict[str, Any] = {}
    lists: tuple[int, ...] = ()
    unsubscribed: tuple[int, ...] = ()
    email_blacklisted: bool = False
    sms_blacklisted: bool = False
    whatsapp_blacklisted: bool = False

    def identity(self, kind: str) -> str:
        """Return the value of one identifier, or nothing."""
        if kind == "email":
            return self.email
        return self.ext_id if kind == "ext_id" else self.attributes.get(kind, "")


class ContactList(msgspec.Struct):
    """One list of contacts."""

    id: int
    name: str
    folder: int
    created: int
    members: set[int] = set()


class Segment(msgspec.Struct):
    """One segment: everybody whose attribute has a value; people make segments, no API does."""

    id: int
    name: str
    attribute: str
    value: str
    updated: int
    category: str = ""


class Act(msgspec.Struct, frozen=True):
    """Something that happened between a campaign and a contact; `at` is milliseconds.

    `kind` is sent, delivered, opened, clicked, hardBounce, softBounce, complaint or unsubscribed; `version` A or B.
    """

    kind: str
    campaign: int
    at: int
    link: str = ""
    version: str = ""


class Fields(msgspec.Struct, frozen=True):
    """What one write sets. `claims` are identifiers; `cells` marks values read from CSV text.

    An empty text clears an attribute only when `clear` is set.
    """

    attributes: Mapping[str, Any] = {}
    claims: dict[str, str] = {}
    lists: Sequence[int] = ()
    unlink: Sequence[int] = ()
    email_blacklisted: bool | None = None
    sms_blacklisted: bool | None = None
    clear: bool = True
    cells: bool = False


class Query(msgspec.Struct, frozen=True):
    """Which contacts a read wants; times in milliseconds, later than, not at."""

    created_since: int | None = None
    modified_since: int | None = None
    ids: tuple[int, ...] = ()
    lists: tuple[int, ...] = ()
    equals: tuple[tuple[str, str], ...] = ()


def fold(kind: str, value: str) -> str:
    """Return the form in which an identifier is unique."""
    if kind == "email":
        return value if value.islower() else value.lower()
    match = _PHONE.fullmatch(value) if kind in PHONE_KINDS else None
    return match.group(1) if match else value


def is_email(text: str) -> bool:
    """Say whether a text has the form of an email address."""
    return len(text) <= 254 and _EMAIL.fullmatch(text) is not None


def read_claims(email: Any, ext_id: str | None, attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return the identifiers that a write carries, checked, in their stored form, the deciding one first."""
    claims: dict[str, str] = {}
    if email:
        if not is_email(str(email)):
            raise invalid(f"Invalid email address: {email}")
        claims["email"] = str(email)
    ext_id = ext_id or attributes.get("EXT_ID")
    if ext_id:
        claims["ext_id"] = str(ext_id)
    for kind in PHONE_KINDS:
        if number := attributes.get(kind):
            match = _PHONE.fullmatch(str(number).strip())
            if match is None:
                raise invalid(f"Invalid phone number: {number}")
            claims[kind] = match.group(1)
    return claims


def duplicate(kinds: Sequence[str], verb: str, code: str) -> RefusedError:
    """Build the refusal of a write whose identifiers belong to another contact."""
    message = f"Unable to {verb} contact, {', '.join(kinds)} is already associated with another Contact"
    return RefusedError(400, code, message, {"duplicate_identifiers": list(kinds)})
