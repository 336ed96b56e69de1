"""The list and folder endpoints of the Brevo emulator; counters that the vendor froze stay at 0."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sandbox.brevo_imports import start_process
from penstock.sandbox.brevo_payloads import tell
from penstock.sandbox.brevo_records import Contact, ContactList
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, cut_page, decode, format_time, invalid

MAX_MEMBERS = 150
_KINDS = {"emails": "email", "ids": "id", "extIds": "ext_id"}


class _NewList(msgspec.Struct):
    name: str
    folder: int = msgspec.field(name="folderId")


class _ListChange(msgspec.Struct):
    name: str | None = None
    folder: int | None = msgspec.field(default=None, name="folderId")


class _Folder(msgspec.Struct):
    name: str


class _Members(msgspec.Struct):
    emails: list[str] | None = None
    ids: list[int] | None = None
    ext_ids: list[str] | None = msgspec.field(default=None, name="extIds")
    all: bool = False


def _show(one: ContactList) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "folderId": one.folder,
        "uniqueSubscribers": len(one.members),
        "totalSubscribers": 0,
        "totalBlacklisted": 0,
    }


def _show_folder(state: BrevoState, number: int) -> dict[str, Any]:
    counters = {"uniqueSubscribers": 0, "totalSubscribers": 0, "totalBlacklisted": 0}
    return {"id": number, "name": state.folders[number], **counters}


def list_lists(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/lists."""
    return _page_of_lists(list(state.lists.values()), request)


def list_folder_lists(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/folders/{folder}/lists."""
    number = state.find_folder(request.path["folder"])
    return _page_of_lists([one for one in state.lists.values() if one.folder == number], request)


def _page_of_lists(rows: list[ContactList], request: Request) -> Answer:
    page = cut_page(rows, request, default=10, highest=50)
    return Answer(200, {"lists": [_show(one) for one in page], "count": len(rows)})


def create_list(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/lists."""
    body = decode(request.body, _NewList)
    state.find_folder(str(body.folder))
    made = state.add_list(body.name, body.folder)
    state.world.wrote("brevo", "lists.create", str(made.id), ())
    return Answer(201, {"id": made.id})


def get_list(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/lists/{list}."""
    one = state.find_list(request.path["list"])
    return Answer(200, {**_show(one), "createdAt": format_time(one.created), "dynamicList": False})


def update_list(state: BrevoState, request: Request) -> Answer:
    """PUT /contacts/lists/{list}: the name or the folder, one at a time."""
    one = state.find_list(request.path["list"])
    body = decode(request.body, _ListChange)
    if (body.name is None) == (body.folder is None):
        raise invalid("exactly one of name and folderId can be updated at a time")
    if body.name is not None:
        one.name = body.name
    if body.folder is not None:
        one.folder = state.find_folder(str(body.folder))
    state.world.wrote("brevo", "lists.update", str(one.id), ())
    return Answer(204)


def delete_list(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/lists/{list}: its contacts stay."""
    one = state.find_list(request.path["list"])
    state.drop_list(one.id)
    state.world.wrote("brevo", "lists.delete", str(one.id), ())
    return Answer(204)


def add_members(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/lists/{list}/contacts/add: 201 with failures, 400 when nobody could be added."""
    return _change_members(state, request, decode(request.body, _Members), adding=True)


def remove_members(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/lists/{list}/contacts/remove; `all` becomes a process."""
    body = decode(request.body, _Members)
    if not body.all:
        return _change_members(state, request, body, adding=False)
    one = state.find_list(request.path["list"])
    members = sorted(one.members)

    def clear() -> None:
        for number in members:
            if one.id in state.lists and number in state.contacts:
                state.leave(state.contacts[number], one.id)

    process = start_process(state, "REMOVE_CONTACTS_FROM_LIST", len(members), clear, request)
    state.world.wrote("brevo", "lists.remove", str(one.id), ("all",))
    return Answer(201, {"contacts": {"processId": process.id, "total": len(members)}})


def _change_members(state: BrevoState, request: Request, body: _Members, *, adding: bool) -> Answer:
    one = state.find_list(request.path["list"])
    given = [(name, values) for name, values in msgspec.to_builtins(body).items() if name != "all" and values]
    if len(given) != 1:
        raise invalid("exactly one of emails, ids and extIds is needed")
    name, values = given[0]
    if len(values) > MAX_MEMBERS:
        raise RefusedError(400, "out_of_range", f"{name}: at most {MAX_MEMBERS} contacts at a time")
    success: list[Any] = []
    failure: list[Any] = []
    for value in values:
        contact = state.find(_KINDS[name], str(value))
        moved = contact is not None and _move(state, contact, one.id, adding)
        (success if moved else failure).append(value)
    if not success:
        raise invalid(f"Contact already {'in' if adding else 'out of'} list and/or does not exist")
    return Answer(201, {"contacts": {"success": success, "failure": failure}})


def _move(state: BrevoState, contact: Contact, number: int, adding: bool) -> bool:
    moved = state.join(contact, number) if adding else state.leave(contact, number)
    if moved:
        contact.modified = state.now()
        if adding and state.outbox.hooks:
            tell(state, "listAddition", "list_addition", contact, list_id=[number])
        state.world.wrote("brevo", "lists.add" if adding else "lists.remove", str(contact.id), (f"list {number}",))
    return moved


def list_folders(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/folders."""
    page = cut_page(list(state.folders), request, default=10, highest=50)
    return Answer(200, {"folders": [_show_folder(state, one) for one in page], "count": len(state.folders)})


def create_folder(state: BrevoState, request: Request) -> Answer:
    """POST /contacts/folders."""
    number = state.add_folder(decode(request.body, _Folder).name)
    state.world.wrote("brevo", "folders.create", str(number), ())
    return Answer(201, {"id": number})


def get_folder(state: BrevoState, request: Request) -> Answer:
    """GET /contacts/folders/{folder}."""
    return Answer(200, _show_folder(state, state.find_folder(request.path["folder"])))


def update_folder(state: BrevoState, request: Request) -> Answer:
    """PUT /contacts/folders/{folder}."""
    number = state.find_folder(request.path["folder"])
    state.folders[number] = decode(request.body, _Folder).name
    state.world.wrote("brevo", "folders.update", str(number), ())
    return Answer(204)


def delete_folder(state: BrevoState, request: Request) -> Answer:
    """DELETE /contacts/folders/{folder}: its lists go with it."""
    number = state.find_folder(request.path["folder"])
    for one in [one for one in state.lists.values() if one.folder == number]:
        state.drop_list(one.id)
    del state.folders[number]
    state.world.wrote("brevo", "folders.delete", str(number), ())
    return Answer(204)
