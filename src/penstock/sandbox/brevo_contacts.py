"""The contact endpoints of the Brevo emulator: list, get, create or update, update, delete."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

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
    if request.text("segmentId") is not None:
        raise invalid("either listIds or segmentId can be passed" if lists else "Segment id does not exist")
    state.check_lists(lists)
    since = {
        name: None if (text := request.text(name)) is None else to_milliseconds(text, name)
        for name in ("createdSince", "modifiedSince")
    }
    equals = _read_filter(state, request.text("filter"))
    return Query(since["createdSince"], since["modifiedSince"], tuple(ids), tuple(lists), equals)


def _read_filter(state: BrevoState, text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    match = _EQUALS.fullmatch(text.strip())
    if match is None or match.group(1) not in state.attributes:
        raise invalid(f"filter is not valid: {text}")
    return match.group(1), match.group(2) if match.group(2) is not None else match.group(3)


def get_contact(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/{identifier}."""
    return Answer(200, {**state.show(_find(state, request)), "statistics": {}})


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
    contact = state.write(target, body.fields(claims, []), "contacts.update" if target else "contacts.create")
    if target is None:
        return Answer(201, {"id": contact.id})
    return Answer(200, {"id": contact.id}) if body.get_id else Answer(204)


def update_contact(state: BrevoState, request: Request) -> Answer:
    """PUT /contacts/{identifier}; `attributes.EMAIL` changes the address."""
    contact = _find(state, request)
    body = decode(request.body, _Update)
    claims = read_claims(body.attributes.get("EMAIL"), body.ext_id, body.attributes)
    _check(state, body)
    state.check_lists(body.unlink)
    contact = _settle_conflicts(state, contact, claims, body.force_merge) or contact
    state.write(contact, body.fields(claims, body.unlink), "contacts.update")
    return Answer(204)


def delete_contact(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/{identifier}."""
    contact = _find(state, request)
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
        raise duplicate(kinds, "update" if target else "create", state.duplicate_code)
    return state.merge(claims, target)


def _check(state: BrevoState, body: _Body) -> None:
    state.check_lists(body.lists)
    check_transactional(state, body.attributes)


def check_transactional(state: BrevoState, attributes: Mapping[str, Any]) -> None:
    """Raise when transactional attributes come without the one that identifies them."""
    found = [state.attributes[name] for name in attributes if name in state.attributes]
    transactional = [attribute.type for attribute in found if attribute.category == "transactional"]
    if transactional and "id" not in transactional:
        raise invalid("Transactional attribute as primary Key is missing")


def _find(state: BrevoState, request: Request) -> Contact:
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
