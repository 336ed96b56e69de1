"""The contact endpoints of the Brevo emulator: list, get, create or update, update, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.sandbox.brevo_acts import show_acts
from penstock.sandbox.brevo_records import Contact, Fields, Query, duplicate, is_email, read_claims
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import (
    Answer,
    RefusedError,
    Request,
    cut_page,
    decode,
    invalid,
    read_numbers,
    to_milliseconds,
    to_number,
)

IDENTIFIER_KINDS = {
    "email_id": "email",
    "contact_id": "id",
    "ext_id": "ext_id",
    "phone_id": "SMS",
    "whatsapp_id": "WHATSAPP",
    "landline_number_id": "LANDLINE_NUMBER",
}
MAX_IDS = 20
_EQUALS = re.compile(r"equals\(\s*([A-Z][A-Z0-9_]*)\s*,\s*(?:\"([^\"]*)\"|([^\")]*?))\s*\)")


class _Body(msgspec.Struct):
    attributes: dict[str, Any] = {}
    ext_id: str | None = None
    lists: list[int] = msgspec.field(default_factory=list, name="listIds")
    email_blacklisted: bool | None = msgspec.field(default=None, name="emailBlacklisted")
    sms_blacklisted: bool | None = msgspec.field(default=None, name="smsBlacklisted")
    force_merge: bool = msgspec.field(default=False, name="forceMerge")

    def fields(self, claims: dict[str, str], unlink: list[int]) -> Fields:
        return Fields(self.attributes, claims, self.lists, unlink, self.email_blacklisted, self.sms_blacklisted)


class _Creation(_Body):
    email: str | None = None
    update_enabled: bool = msgspec.field(default=False, name="updateEnabled")
    get_id: bool = msgspec.field(default=False, name="getId")


class _Update(_Body):
    unlink: list[int] = msgspec.field(default_factory=list, name="unlinkListIds")


def list_contacts(state: BrevoState, request: Request) -> Answer:
    """GET /contacts: pages by creation; an unknown query parameter is ignored."""
    rows, low = state.select(_read_query(state, request))
    page = cut_page(rows, request, default=50, highest=1000, low=low)
    return Answer(200, {"contacts": [state.show(contact) for contact in page], "count": len(rows) - low})


def list_members(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/lists/{list}/contacts."""
    number = state.find_list(request.path["list"]).id
    modified = request.text("modifiedSince")
    since = None if modified is None else to_milliseconds(modified, "modifiedSince")
    rows, low = state.select(Query(modified_since=since, lists=(number,)))
    page = cut_page(rows, request, default=50, highest=500, low=low)
    return Answer(200, {"contacts": [state.show(contact) for contact in page], "count": len(rows) - low})


def _read_query(state: BrevoState, request: Request) -> Query:
    ids = read_numbers(request, "ids")
    lists = read_numbers(request, "listIds")
    if len(ids) > MAX_IDS:
        raise invalid(f"ids: at most {MAX_IDS} are allowed")
    state.check_lists(lists)
    since = {
        name: None if (text := request.text(name)) is None else to_milliseconds(text, name)
        for name in ("createdSince", "modifiedSince")
    }
    equals = (*_read_filter(state, request.text("filter")), *_read_segment(state, request.text("segmentId"), lists))
    return Query(since["createdSince"], since["modifiedSince"], tuple(ids), tuple(lists), equals)


def _read_filter(state: BrevoState, text: str | None) -> tuple[tuple[str, str], ...]:
    if text is None:
        return ()
    match = _EQUALS.fullmatch(text.strip())
    if match is None or match.group(1) not in state.attributes:
        raise invalid(f"filter is not valid: {text}")
    return ((match.group(1), match.group(2) if match.group(2) is not None else match.group(3)),)


def _read_segment(state: BrevoState, text: str | None, lists: list[int]) -> tuple[tuple[str, str], ...]:
    if text is None:
        return ()
    if lists:
        raise invalid("either listIds or segmentId can be passed")
    segment = state.segments.get(to_number(text, "segmentId"))
    if segment is None:
        raise invalid("Segment id does not exist")
    return ((segment.attribute, segment.value),)


def get_contact(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/{identifier}; a write may not be visible yet."""
    contact = find_contact(state, request)
    shown = state.show(contact)
    until, before = state.shadows.get(contact.id, (0, None))
    if state.now() < until:
        if before is None:
            raise RefusedError(404, "document_not_found", "Contact does not exist")
        shown = before
    return Answer(200, {**shown, "statistics": show_acts(state.acts.get(contact.id, []))})


def create_contact(state: BrevoState, request: Request) -> Answer:
    """POST /contacts: 201 with the id when new, 204 when `updateEnabled` changed an existing one."""
    body = decode(request.body, _Creation)
    claims = read_claims(body.email, body.ext_id, body.attributes)
    if not claims:
        raise RefusedError(400, "missing_parameter", "email, ext_id or attributes.SMS is missing")
    _check(state, body)
    primary = next(iter(claims))
    target = state.find(primary, claims[primary])
    if target is not None and not (body.update_enabled or body.force_merge):
        raise duplicate(state.conflicts(claims, None), "create", "duplicate_parameter")
    target = _settle_conflicts(state, target, claims, body.force_merge)
    _check_busy(state, target)
    contact = state.write(target, body.fields(claims, []), "contacts.update" if target else "contacts.create")
    if target is None:
        return Answer(201, {"id": contact.id})
    return Answer(200, {"id": contact.id}) if body.get_id else Answer(204)


def update_contact(state: BrevoState, request: Request) -> Answer:
    """PUT /contacts/{identifier}; `attributes.EMAIL` changes the address."""
    contact = find_contact(state, request)
    body = decode(request.body, _Update)
    claims = read_claims(body.attributes.get("EMAIL"), body.ext_id, body.attributes)
    _check(state, body)
    state.check_lists(body.unlink)
    _check_busy(state, contact)
    contact = _settle_conflicts(state, contact, claims, body.force_merge) or contact
    state.write(contact, body.fields(claims, body.unlink), "contacts.update")
    return Answer(204)


class _Item(_Update):
    email: str | None = None
    id: int | None = None
    sms: str | None = None


class _Batch(msgspec.Struct):
    contacts: list[_Item]


def update_batch(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/batch, deprecated on 2026-10-30: gone, or as it was (items that cannot be are skipped)."""
    if state.behaviour.contact_batch == "gone":
        raise RefusedError(405, "method_not_allowed", "POST Method is not allowed on this path")
    for item in decode(request.body, _Batch).contacts:
        found = (("email", item.email), ("id", item.id), ("SMS", item.sms))
        given = [(kind, str(value)) for kind, value in found if value is not None]
        if len(given) != 1:
            raise invalid("exactly one of email, id and sms is needed")
        contact = state.find(*given[0])
        claims = read_claims(None, item.ext_id, item.attributes)
        if contact is not None and not state.conflicts(claims, contact):
            state.write(contact, item.fields(claims, item.unlink), "contacts.batch")
    return Answer(204)


def delete_contact(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/{identifier}."""
    contact = find_contact(state, request)
    if contact.email.lower() == state.email:
        raise RefusedError(405, "method_not_allowed", f"not allowed to delete the registered email {contact.email}")
    state.remove(contact)
    state.world.wrote("brevo", "contacts.delete", str(contact.id), ())
    return Answer(204)


def _settle_conflicts(
    state: BrevoState, target: Contact | None, claims: dict[str, str], force_merge: bool
) -> Contact | None:
    kinds = state.conflicts(claims, target)
    if not kinds:
        return target
    if not force_merge:
        raise duplicate(kinds, "update" if target else "create", state.behaviour.duplicate_code)
    return state.merge(claims, target)


def _check_busy(state: BrevoState, contact: Contact | None) -> None:
    if contact is not None and state.now() < contact.created + round(state.behaviour.busy_seconds * 1000):
        raise RefusedError(425, "account_in_process", "the contact is still being processed")


def _check(state: BrevoState, body: _Body) -> None:
    state.check_lists(body.lists)
    unknown = [name for name in body.attributes if name not in state.attributes and name not in ("EMAIL", "EXT_ID")]
    if unknown and state.behaviour.unknown_attributes == "refuse":
        raise invalid(f"Attribute does not exist: {unknown[0]}")
    check_transactional(state, body.attributes)


def check_transactional(state: BrevoState, attributes: Mapping[str, Any]) -> None:
    """Raise when transactional attributes come without the one that identifies them."""
    found = [state.attributes[name] for name in attributes if name in state.attributes]
    transactional = [attribute.type for attribute in found if attribute.category == "transactional"]
    if transactional and "id" not in transactional:
        raise invalid("Transactional attribute as primary Key is missing")


def find_contact(state: BrevoState, request: Request) -> Contact:
    """Return the contact that a path names; refuses with 404 where there is none."""
    value = request.path["identifier"]
    given = request.text("identifierType")
    if given is not None:
        if given not in IDENTIFIER_KINDS:
            raise invalid(f"identifierType is not valid: {given}")
        kinds = [IDENTIFIER_KINDS[given]]
    else:
        kinds = _guess_kinds(value, request.method)
    for kind in kinds:
        if contact := state.find(kind, value):
            return contact
    raise RefusedError(404, "document_not_found", "Contact does not exist")


def _guess_kinds(value: str, method: str) -> list[str]:
    """Without a type only an address or a number works; GET also takes a phone number."""
    if "@" in value:
        if not is_email(value):
            raise invalid(f"Invalid email address: {value}")
        return ["email"]
    if not value.lstrip("+").isdecimal():
        raise invalid(f"Invalid id passed: {value}")
    return ["id", "SMS"] if method == "GET" else ["id"]
