"""Segments and consent groups of the Brevo emulator, and the double opt-in."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sandbox.brevo_contacts import check_transactional
from penstock.sandbox.brevo_records import Contact, Fields, read_claims
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import (
    Answer,
    RefusedError,
    Request,
    cut_page,
    decode,
    format_time,
    invalid,
    read_number,
    read_numbers,
)

MAX_NAME = 255
MAX_DESCRIPTION = 500
_MODES = ("manual", "automatic")


class ConsentGroup(msgspec.Struct):
    """One consent group; times are milliseconds."""

    id: int
    name: str
    mode: str
    created: int
    updated: int
    description: str = ""
    is_default: bool = False


class _Body(msgspec.Struct, rename="camel"):
    name: str | None = None
    signup_mode: str | None = None
    description: str | None = None
    list_ids: list[int] = []


def list_segments(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/segments."""
    rows = [
        {
            "id": one.id,
            "segmentName": one.name,
            "categoryName": one.category,
            "updatedAt": format_time(one.updated),
        }
        for one in state.segments.values()
    ]
    return Answer(200, {"segments": cut_page(rows, request, default=10, highest=50), "count": len(rows)})


def list_groups(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/consent-groups."""
    _check_enabled(state)
    numbers, names = read_numbers(request, "id"), request.query.get("name", [])
    mode = request.text("signupMode")
    rows = [
        one
        for one in state.groups.values()
        if (not numbers or one.id in numbers) and (not names or one.name in names) and mode in (None, one.mode)
    ]
    limit, offset = read_number(request, "limit", 50, 50), read_number(request, "offset", 0)
    page = [_show(state, one) for one in rows[offset : offset + limit]]
    return Answer(200, {"consentGroups": page, "total": len(rows), "limit": limit, "offset": offset})


def create_group(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/consent-groups: members of the given lists are copied once."""
    _check_enabled(state)
    body = decode(request.body, _Body)
    if not body.name or body.signup_mode is None:
        raise RefusedError(400, "missing_parameter", "name and signupMode are needed")
    _check(state, body, None)
    state.check_lists(body.list_ids)
    made = ConsentGroup(state.next_id("group"), body.name, body.signup_mode, state.now(), state.now())
    made.description = body.description or ""
    state.groups[made.id] = made
    for member in set().union(*(state.lists[number].members for number in body.list_ids)):
        state.consents.setdefault(member, {})[made.id] = "subscribed"
    state.world.wrote("brevo", "consent-groups.create", str(made.id), ())
    return Answer(201, _show(state, made))


def get_group(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/consent-groups/{group}."""
    return Answer(200, _show(state, _find(state, request)))


def update_group(state: BrevoState, request: Request) -> Answer:
    """PUT /contacts/consent-groups/{group}."""
    one = _find(state, request)
    body = decode(request.body, _Body)
    _check(state, body, one)
    one.name, one.mode = body.name or one.name, body.signup_mode or one.mode
    if body.description is not None:
        one.description = body.description
    one.updated = state.now()
    state.world.wrote("brevo", "consent-groups.update", str(one.id), ())
    return Answer(200, _show(state, one))


def delete_group(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/consent-groups/{group}."""
    one = _find(state, request)
    del state.groups[one.id]
    for given in state.consents.values():
        given.pop(one.id, None)
    state.world.wrote("brevo", "consent-groups.delete", str(one.id), ())
    return Answer(204)


def set_consent(state: BrevoState, contact: Contact, group: int, status: str) -> None:
    """Say that a contact is subscribed to or unsubscribed from a group."""
    state.consents.setdefault(contact.id, {})[group] = status
    contact.modified = state.now()


def _show(state: BrevoState, one: ConsentGroup) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "signupMode": one.mode,
        "contactsCount": sum(one.id in given for given in state.consents.values()),
        "isDefault": one.is_default,
        "createdAt": format_time(one.created),
        "updatedAt": format_time(one.updated),
    }


def _check_enabled(state: BrevoState) -> None:
    if not state.behaviour.consent_groups:
        raise RefusedError(403, "CONSENT_GROUP_NOT_ENABLED", "Consent groups are not enabled for this account")


def _check(state: BrevoState, body: _Body, own: ConsentGroup | None) -> None:
    if body.name is not None and len(body.name) > MAX_NAME:
        raise invalid(f"name has more than {MAX_NAME} characters")
    if body.description is not None and len(body.description) > MAX_DESCRIPTION:
        raise invalid(f"description has more than {MAX_DESCRIPTION} characters")
    if body.signup_mode is not None and body.signup_mode not in _MODES:
        raise invalid(f"signupMode is not valid: {body.signup_mode}")
    if any(one.name == body.name and one is not own for one in state.groups.values()):
        raise RefusedError(409, "CONSENT_GROUP_NAME_EXISTS", "a consent group of this name exists")


def _find(state: BrevoState, request: Request) -> ConsentGroup:
    _check_enabled(state)
    text = request.path["group"]
    if not text.isdecimal() or int(text) not in state.groups:
        raise RefusedError(404, "document_not_found", "Consent group does not exist")
    return state.groups[int(text)]


class _OptIn(msgspec.Struct, rename="camel"):
    email: str
    include_list_ids: list[int]
    redirection_url: str
    template_id: int
    exclude_list_ids: list[int] = []
    attributes: dict[str, Any] = {}


def confirm_twice(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/doubleOptinConfirmation: nobody joins a list before the link in the email was followed."""
    body = decode(request.body, _OptIn)
    template = state.templates.get(body.template_id)
    if template is None or "doubleoptin" not in template.html.replace("_", "").lower():
        raise invalid("templateId: no template with a double opt-in link has this id")
    state.check_lists([*body.include_list_ids, *body.exclude_list_ids])
    check_transactional(state, body.attributes)
    claims = read_claims(body.email, None, body.attributes)
    target = state.find("email", body.email)
    contact = state.write(target, Fields(body.attributes, claims), "contacts.doi")
    state.pending[contact.id] = [one for one in body.include_list_ids if one not in body.exclude_list_ids]
    return Answer(204 if target else 201)
