"""The people around the emulated Brevo account: they edit, leave, answer and complain, and no API key is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from penstock.sandbox.brevo_account import Key
from penstock.sandbox.brevo_consents import set_consent
from penstock.sandbox.brevo_inbox import EVENTS, receive_mail, say
from penstock.sandbox.brevo_payloads import tell_campaign
from penstock.sandbox.brevo_records import PHONE_KINDS, Act, Contact, Fields, Segment, read_claims
from penstock.sandbox.brevo_sending import note
from penstock.sandbox.brevo_state import BrevoState
from penstock.sandbox.brevo_webhooks import Webhook
from penstock.sandbox.brevo_wire import RefusedError, invalid

Doing = Literal["edit", "join", "opt-out", "leave-list", "withdraw", "delete", "move", "sign-up", "confirm", "bounce"]
DOINGS: tuple[Doing, ...] = ("edit", "join", "opt-out", "leave-list", "delete", "move", "sign-up")


class Done(msgspec.Struct, frozen=True):
    """What one person did: to which contact (its id; a deleted one too), and what was set."""

    doing: str
    contact: int
    details: dict[str, Any] = {}


def edit(state: BrevoState, contact: Contact, attributes: dict[str, Any]) -> Done:
    """Change attributes in Brevo's own pages or by a form."""
    claims = read_claims(attributes.get("EMAIL"), None, attributes)
    if state.conflicts(claims, contact):
        raise invalid("an identifier belongs to somebody else")
    state.write(contact, Fields(attributes, claims), "people.edit")
    return Done("edit", contact.id, attributes)


def join(state: BrevoState, contact: Contact, number: int) -> Done:
    """Join a list."""
    state.check_lists([number])
    state.write(contact, Fields(lists=[number]), "people.join")
    return Done("join", contact.id, {"list": number})


def opt_out(state: BrevoState, contact: Contact, campaign: int | None = None) -> Done:
    """Unsubscribe from all marketing email, as the link in every campaign does."""
    contact.email_blacklisted = True
    _object(state, contact, campaign)
    return Done("opt-out", contact.id)


def leave_list(state: BrevoState, contact: Contact, number: int) -> Done:
    """Unsubscribe from one list only; it shows where the account has per-list unsubscription."""
    state.check_lists([number])
    contact.unsubscribed = tuple({*contact.unsubscribed, number})
    _object(state, contact, None)
    return Done("leave-list", contact.id, {"list": number})


def withdraw(state: BrevoState, contact: Contact, group: int) -> Done:
    """Withdraw the consent to one group."""
    if group not in state.groups:
        raise invalid(f"the consent group does not exist: {group}")
    set_consent(state, contact, group, "unsubscribed")
    return Done("withdraw", contact.id, {"group": group})


def _object(state: BrevoState, contact: Contact, campaign: int | None) -> None:
    contact.modified = state.now()
    state.touch()
    act = Act("unsubscribed", campaign or 0, state.now())
    if campaign in state.campaigns and campaign is not None:
        note(state, state.campaigns[campaign], contact.id, act)
    else:
        state.acts.setdefault(contact.id, []).append(act)
        tell_campaign(state, act, contact, {})


def bounce(state: BrevoState, contact: Contact) -> Done:
    """Let the address turn out to be dead: the contact is blocklisted and cannot get transactional email."""
    contact.email_blacklisted = True
    contact.modified = state.now()
    state.touch()
    state.blocked[contact.email.lower()] = "hardBounce", state.show(contact)["modifiedAt"]
    act = Act("hardBounce", 0, state.now())
    state.acts.setdefault(contact.id, []).append(act)
    tell_campaign(state, act, contact, {})
    return Done("bounce", contact.id)


def delete(state: BrevoState, contact: Contact) -> Done:
    """Delete a contact in Brevo's own pages."""
    state.remove(contact)
    return Done("delete", contact.id)


def sign_up(
    state: BrevoState, email: str, lists: tuple[int, ...] = (), attributes: dict[str, Any] | None = None
) -> Done:
    """Sign up by a form; no webhook tells of a new contact, only of a list that it joined."""
    claims = read_claims(email, None, attributes or {})
    if state.conflicts(claims, None):
        raise invalid(f"the address is known already: {email}")
    contact = state.write(None, Fields(attributes or {}, claims, lists), "people.sign-up")
    return Done("sign-up", contact.id, {"email": email})


def confirm(state: BrevoState, contact: Contact) -> Done:
    """Follow the link of a double opt-in: only now the contact joins the lists."""
    lists = state.pending.pop(contact.id, [])
    state.write(contact, Fields(lists=lists), "people.confirm")
    return Done("confirm", contact.id, {"lists": lists})


def stir(state: BrevoState, count: int, doings: tuple[Doing, ...] = DOINGS) -> list[Done]:
    """Let people do `count` things by chance; equal seeds do the same."""
    chance = state.world.rng
    done = []
    for _ in range(count):
        doing = chance.choice(doings)
        contact = chance.choice(state.by_creation) if state.by_creation else None
        try:
            one = _do_any(state, doing, contact)
        except RefusedError:
            continue
        if one is not None:
            done.append(one)
    return done


def _do_any(state: BrevoState, doing: Doing, contact: Contact | None) -> Done | None:
    chance = state.world.rng
    number = f"{chance.getrandbits(32):08x}"
    if doing == "sign-up":
        return sign_up(state, f"new-{number}@people.example")
    if contact is None:
        return None
    if doing == "move":
        return edit(state, contact, {"EMAIL": f"moved-{number}@people.example"})
    if doing == "edit":
        names = [one.name for one in state.attributes.values() if one.type == "text" and one.name not in PHONE_KINDS]
        return edit(state, contact, {chance.choice(names): f"edited {number}"}) if names else None
    if doing in _WITH_NUMBER:
        act, numbers = _WITH_NUMBER[doing]
        places = list(numbers(state))
        return act(state, contact, chance.choice(places)) if places else None
    return _ALONE[doing](state, contact)


_WITH_NUMBER: dict[str, tuple[Callable[[BrevoState, Contact, int], Done], Callable[[BrevoState], Iterable[int]]]] = {
    "join": (join, lambda state: state.lists),
    "leave-list": (leave_list, lambda state: state.lists),
    "withdraw": (withdraw, lambda state: state.groups),
}
_ALONE: dict[str, Callable[[BrevoState, Contact], Done]] = {
    "opt-out": opt_out,
    "delete": delete,
    "confirm": confirm,
    "bounce": bounce,
}


class Errand(msgspec.Struct, forbid_unknown_fields=True):
    """One thing for the people of the account to do; `contact` is an address or an id."""

    doing: str
    contact: str = ""
    attributes: dict[str, Any] = {}
    number: int = 0
    text: str = ""
    subject: str = ""
    recipient: str = ""
    agent: bool = False
    ends: bool = False
    count: int = 1
    doings: list[Doing] = []
    name: str = ""
    url: str = ""
    value: str = ""
    key: Key | None = None


def run_errand(state: BrevoState, errand: Errand) -> Any:
    """Do one errand; raises `RefusedError` when it cannot be done."""
    if errand.doing in _WITHOUT_CONTACT:
        return _WITHOUT_CONTACT[errand.doing](state, errand)
    contact = find_person(state, errand.contact)
    if errand.doing in _WITH_NUMBER:
        return _WITH_NUMBER[errand.doing][0](state, contact, errand.number)
    if errand.doing in _WITH_DETAILS:
        return _WITH_DETAILS[errand.doing](state, contact, errand)
    if errand.doing not in _ALONE:
        raise invalid(f"nobody knows how to do this: {errand.doing}")
    return _ALONE[errand.doing](state, contact)


def _add_key(state: BrevoState, errand: Errand) -> dict[str, str]:
    state.account.keys[errand.text] = errand.key or Key(errand.name)
    return {"key": state.account.keys[errand.text].name}


_WITHOUT_CONTACT: dict[str, Callable[[BrevoState, Errand], Any]] = {
    "stir": lambda state, one: stir(state, one.count, tuple(one.doings) or DOINGS),
    "sign-up": lambda state, one: sign_up(state, one.contact, (one.number,) if one.number else (), one.attributes),
    "mail": lambda state, one: {"uuid": receive_mail(state, one.contact, one.recipient, one.subject, one.text)},
    "key": _add_key,
    "segment": lambda state, one: add_segment(state, one.name, one.text, one.value),
    "conversations-webhook": lambda state, one: {"id": add_conversations_webhook(state, one.url)},
}
_WITH_DETAILS: dict[str, Callable[[BrevoState, Contact, Errand], Any]] = {
    "say": lambda state, contact, one: {"id": say(state, contact, one.text, agent=one.agent, ends=one.ends)},
    "edit": lambda state, contact, one: edit(state, contact, one.attributes),
    "opt-out": lambda state, contact, one: opt_out(state, contact, one.number or None),
}


def find_person(state: BrevoState, text: str) -> Contact:
    """Return the contact with this address or id; refuses with 404 where there is none."""
    contact = state.find("email" if "@" in text else "id", text)
    if contact is None:
        raise RefusedError(404, "document_not_found", "Contact does not exist")
    return contact


def add_segment(state: BrevoState, name: str, attribute: str, value: str, category: str = "") -> Segment:
    """Make a segment of everybody whose attribute has a value, as people do in Brevo's own pages."""
    if attribute not in state.attributes:
        raise invalid(f"Attribute not found: {attribute}")
    made = Segment(state.next_id("segment"), name, attribute, value, state.now(), category)
    state.segments[made.id] = made
    return made


def add_conversations_webhook(state: BrevoState, url: str) -> int:
    """Set the webhook of conversations, which Brevo's own pages do and no API; returns its id."""
    made = Webhook(state.next_id("webhook"), url, list(EVENTS), "conversations", state.now(), state.now())
    state.outbox.hooks[made.id] = made
    return made.id
