"""Keeps an emulated Brevo account in a file, so that commands run one after the other see the same account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from penstock.sandbox.brevo_account import Account, Sender
from penstock.sandbox.brevo_attributes import Attribute
from penstock.sandbox.brevo_behaviour import Behaviour
from penstock.sandbox.brevo_campaigns import Campaign
from penstock.sandbox.brevo_consents import ConsentGroup
from penstock.sandbox.brevo_events import Event
from penstock.sandbox.brevo_imports import Process, finish
from penstock.sandbox.brevo_records import KINDS, Act, Contact, ContactList, Segment, fold
from penstock.sandbox.brevo_shop_records import Inbox, Shop
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_templates import Template
from penstock.sandbox.brevo_webhooks import Letter, Webhook

KEPT_EVENTS = 10_000


class _Process(msgspec.Struct):
    id: int
    name: str
    start: int
    end: int
    failed: bool
    site: str
    token: str
    file: str
    reports: dict[str, list[tuple[str, ...]]]


class _Kept(msgspec.Struct):
    attributes: list[Attribute]
    contacts: list[Contact]
    numbers: dict[str, int] = {}
    account: Account | None = None
    behaviour: dict[str, Any] = {}
    invented: list[str] = []
    folders: dict[int, str] = {}
    lists: list[ContactList] = []
    segments: list[Segment] = []
    groups: list[ConsentGroup] = []
    consents: dict[int, dict[int, str]] = {}
    acts: dict[int, list[Act]] = {}
    pending: dict[int, list[int]] = {}
    senders: list[Sender] = []
    blocked: dict[str, tuple[str, str]] = {}
    campaigns: list[Campaign] = []
    templates: list[Template] = []
    images: dict[str, bytes] = {}
    shop: Shop = msgspec.field(default_factory=Shop)
    inbox: Inbox = msgspec.field(default_factory=Inbox)
    events: list[Event] = []
    processes: list[_Process] = []
    webhooks: list[Webhook] = []
    letters: list[Letter] = []


_BY_ID = ("lists", "segments", "groups", "senders", "campaigns", "templates")
_AS_IT_IS = ("invented", "consents", "acts", "pending", "blocked", "images", "shop", "inbox")


def save_account(state: BrevoState, path: Path) -> None:
    """Write the account; what is still being processed is finished first, and of events only the newest are kept."""
    finish(state)
    kept = _Kept(list(state.attributes.values()), state.by_creation, dict(state.numbers), state.account)
    kept.behaviour = msgspec.structs.asdict(state.behaviour)
    kept.folders = state.folders
    for name in _BY_ID:
        setattr(kept, name, list(getattr(state, name).values()))
    for name in _AS_IT_IS:
        setattr(kept, name, getattr(state, name))
    kept.events = list(state.events)[-KEPT_EVENTS:]
    kept.processes = [
        _Process(one.id, one.name, one.start, one.end, one.failed, one.site, one.token, one.file, one.reports)
        for one in state.processes.values()
    ]
    kept.webhooks = list(state.outbox.hooks.values())
    kept.letters = [letter for _, _, letter in state.outbox.letters]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(kept))
    partial.replace(path)


def load_account(state: BrevoState, path: Path) -> bool:
    """Put a kept account into `state`, which is fresh; returns whether there was one."""
    if not path.is_file():
        return False
    kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
    state.attributes.update({one.name: one for one in kept.attributes})
    state.account = kept.account or state.account
    for name in set(kept.behaviour) & set(Behaviour.__struct_fields__):  # another version may know other fields
        setattr(state.behaviour, name, kept.behaviour[name])
    state.folders.update(kept.folders)
    for name in _BY_ID:
        getattr(state, name).update({one.id: one for one in getattr(kept, name)})
    for name in _AS_IT_IS:
        setattr(state, name, getattr(kept, name))
    for event in kept.events:
        state.keep_event(event)
    for one in kept.processes:
        process = Process(one.id, one.name, one.start, one.end, None, one.failed, one.site, one.token)
        process.file, process.reports = one.file, one.reports
        state.processes[one.id] = process
    state.outbox.hooks.update({one.id: one for one in kept.webhooks})
    state.outbox.push_all(kept.letters)
    for contact in kept.contacts:
        _put_back(state, contact)
    for name, number in kept.numbers.items():
        state.numbers[name] = max(number, state.numbers[name])
    state.numbers["contact"] = max(state.numbers["contact"], max(state.contacts, default=0))
    return True


def _put_back(state: BrevoState, contact: Contact) -> None:
    contact.lists = tuple(number for number in contact.lists if number in state.lists)
    state.keep_contact(contact)
    for kind in KINDS:
        if value := contact.identity(kind):
            state.owners[kind][fold(kind, value)] = contact
