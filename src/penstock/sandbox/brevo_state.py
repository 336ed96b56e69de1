"""What the emulated Brevo account holds, and how a write changes it; handlers and seeds both go through here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.sandbox.brevo_account import Account, Sender
from penstock.sandbox.brevo_attributes import IGNORED, Attribute, make_attribute
from penstock.sandbox.brevo_behaviour import Behaviour
from penstock.sandbox.brevo_book import ContactBook
from penstock.sandbox.brevo_payloads import tell
from penstock.sandbox.brevo_records import (
    PHONE_KINDS,
    Act,
    Contact,
    ContactList,
    Fields,
    Segment,
    fold,
    read_claims,
)
from penstock.sandbox.brevo_shop_records import Inbox, Shop
from penstock.sandbox.brevo_webhooks import Outbox
from penstock.sandbox.brevo_wire import RefusedError, format_time, invalid
from penstock.sandbox.world import World

if TYPE_CHECKING:
    from penstock.sandbox.brevo_campaigns import Campaign
    from penstock.sandbox.brevo_consents import ConsentGroup
    from penstock.sandbox.brevo_events import Event
    from penstock.sandbox.brevo_imports import Process
    from penstock.sandbox.brevo_templates import Template


class BrevoState(ContactBook):
    """One emulated account; `behaviour` says how it acts where the documents leave it open.

    `actor` names the API key whose request is being answered, empty while people or processes of Brevo's own act.
    `repeats` counts accepted writes that changed nothing, per operation; `lifted` names the contacts whose blocklisting
    was lifted by an API key, once for each time.
    """

    def __init__(
        self,
        world: World,
        *,
        organization: str = "5f3a9c0d2b7e41a8",
        name_attributes: Sequence[str] = ("FIRSTNAME", "LASTNAME"),
        **behaviour: Any,
    ) -> None:
        """Open an account with Brevo's usual attributes and one folder; `behaviour` are fields of `Behaviour`."""
        super().__init__()
        self.world = world
        self.organization = organization
        self.email = "owner@sandbox.example"
        self.behaviour = Behaviour(**behaviour)
        self.account = Account()
        self.actor = ""
        self.folders: dict[int, str] = {}
        self.processes: dict[int, Process] = {}
        self.waiting: deque[Process] = deque()
        self.events: deque[Event] = deque()
        self.events_of: dict[int, list[Event]] = {}
        self.repeats: Counter[str] = Counter()
        self.lifted: list[int] = []
        self.segments: dict[int, Segment] = {}
        self.groups: dict[int, ConsentGroup] = {}
        self.consents: dict[int, dict[int, str]] = {}
        self.acts: dict[int, list[Act]] = {}
        self.shadows: dict[int, tuple[int, dict[str, Any] | None]] = {}
        self.pending: dict[int, list[int]] = {}
        self.campaigns: dict[int, Campaign] = {}
        self.templates: dict[int, Template] = {}
        self.images: dict[str, bytes] = {}
        self.hosted: dict[str, bytes] = {}
        self.shop = Shop()
        self.inbox = Inbox()
        self.senders: dict[int, Sender] = {}
        self.blocked: dict[str, tuple[str, str]] = {}
        self.outbox = Outbox(self)
        self.numbers: Counter[str] = Counter()
        self.invented: list[str] = []
        """For whom people were invented: flows and campaigns that were tried on this account."""
        for name in (*name_attributes, *PHONE_KINDS):
            self.add_attribute(name)
        self.add_folder("Your first folder")
        sender = Sender(self.next_id("sender"), "Sandbox", self.email)
        self.senders[sender.id] = sender

    def now(self) -> int:
        """Return the world's time in milliseconds."""
        return int(self.world.clock.now() * 1000)

    def next_id(self, kind: str) -> int:
        """Return the next number of a kind of object."""
        self.numbers[kind] += 1
        return self.numbers[kind]

    # --- seeds -------------------------------------------------------------------------------------------------

    def add_attribute(
        self, name: str, type: str = "text", category: str = "normal", enumeration: Iterable[str] = ()
    ) -> Attribute:
        """Define an attribute; `enumeration` are the labels of a category or the options of a multiple choice."""
        options = [(str(number), label) for number, label in enumerate(enumeration, 1)]
        if category == "category":
            made = make_attribute(name, "category", category, options)
        else:
            made = make_attribute(name, type, category, choices=[label for _, label in options])
        self.attributes[name] = made
        return made

    def add_contact(
        self,
        email: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        *,
        ext_id: str | None = None,
        lists: Sequence[int] = (),
        created_at: float | None = None,
        modified_at: float | None = None,
        unsubscribed: Sequence[int] = (),
        email_blacklisted: bool = False,
        sms_blacklisted: bool = False,
        whatsapp_blacklisted: bool = False,
    ) -> Contact:
        """Put a contact into the account without a request; times are seconds since 1970.

        Raises `RefusedError` when an identifier belongs to somebody else.
        """
        claims = read_claims(email, ext_id, attributes or {})
        if self.conflicts(claims, None):
            raise invalid(f"an identifier is already in use: {claims}")
        created = self.now() if created_at is None else int(created_at * 1000)
        contact = self.open_contact(self.next_id("contact"), created)
        self._apply(contact, Fields(attributes or {}, claims, lists))
        contact.modified = created if modified_at is None else int(modified_at * 1000)
        contact.unsubscribed = tuple(unsubscribed)
        contact.email_blacklisted = email_blacklisted
        contact.sms_blacklisted = sms_blacklisted
        contact.whatsapp_blacklisted = whatsapp_blacklisted
        return contact

    def add_folder(self, name: str) -> int:
        """Open a folder; returns its id."""
        number = self.next_id("folder")
        self.folders[number] = name
        return number

    def add_list(self, name: str, folder: int = 1) -> ContactList:
        """Open a list in a folder."""
        made = ContactList(self.next_id("list"), name, folder, self.now())
        self.lists[made.id] = made
        return made

    # --- reads -------------------------------------------------------------------------------------------------

    def show(self, contact: Contact) -> dict[str, Any]:
        """Return a contact as the API shows it."""
        attributes = contact.attributes
        if contact.ext_id:
            attributes = {**attributes, "EXT_ID": contact.ext_id}
        shown: dict[str, Any] = {
            "id": contact.id,
            "emailBlacklisted": contact.email_blacklisted,
            "smsBlacklisted": contact.sms_blacklisted,
            "whatsappBlacklisted": contact.whatsapp_blacklisted,
            "createdAt": format_time(contact.created),
            "modifiedAt": format_time(contact.modified),
            "listIds": contact.lists,
            "attributes": attributes,
        }
        if contact.email:
            shown["email"] = contact.email
        if self.behaviour.per_list_unsubscription:
            shown["listUnsubscribed"] = contact.unsubscribed
        if self.behaviour.consent_groups:
            given = self.consents.get(contact.id, {})
            shown["consentGroups"] = [{"id": group, "status": status} for group, status in given.items()]
        return shown

    # --- writes ------------------------------------------------------------------------------------------------

    def merge(self, claims: Mapping[str, str], target: Contact | None) -> Contact:
        """Keep the most recently modified of all who own one of `claims`, delete the others."""
        rivals = {} if target is None else {target.id: target}
        for kind, value in claims.items():
            owner = self.find(kind, value)
            if owner is not None:
                rivals[owner.id] = owner
        survivor = max(rivals.values(), key=lambda one: (one.modified, one.id))
        for rival in rivals.values():
            if rival is not survivor:
                self.remove(rival)
        return survivor

    def write(self, target: Contact | None, fields: Fields, operation: str, at: int | None = None) -> Contact:
        """Create or change a contact and log it; the caller has ruled out conflicts."""
        moment = self.now() if at is None else at
        contact = self.open_contact(self.next_id("contact"), moment) if target is None else target
        lists = contact.lists
        if self.behaviour.visible_after:
            until = moment + round(self.behaviour.visible_after * 1000)
            before = None if target is None else self.show(target)
            if before is not None:
                before["attributes"] = dict(before["attributes"])
            self.shadows[contact.id] = until, before
        names, changes = self._apply(contact, fields)
        if target is None and self.behaviour.synthetic_addresses and not contact.email and contact.identity("SMS"):
            self._claim(contact, "email", f"{contact.identity('SMS')}@mailin-sms.com")
        contact.modified = max(moment, contact.modified)
        if target is not None and not changes and lists == contact.lists:
            self.repeats[operation] += 1
        if self.outbox.hooks and (self.behaviour.import_webhooks or operation != "contacts.import"):
            if target is not None and changes:
                tell(self, "contactUpdated", "contact_updated", contact, content=changes)
            if joined := sorted(set(contact.lists) - set(lists)):
                tell(self, "listAddition", "list_addition", contact, list_id=joined)
        self.world.wrote("brevo", operation, str(contact.id), tuple(names))
        return contact

    def remove(self, contact: Contact) -> None:
        """Delete a contact."""
        if self.outbox.hooks:
            tell(self, "contactDeleted", "contact_deleted", contact, list_id=list(contact.lists))
        self.close_contact(contact)
        self.consents.pop(contact.id, None)

    def keep_event(self, event: Event) -> None:
        """Keep an event, and forget the oldest when there are too many."""
        self.events.append(event)
        if event.contact is not None:
            self.events_of.setdefault(event.contact, []).append(event)
        if len(self.events) > self.behaviour.keep_events:
            oldest = self.events.popleft()
            if oldest.contact is not None:
                self.events_of[oldest.contact].pop(0)

    def drop_list(self, number: int) -> None:
        """Delete a list; its contacts stay."""
        for member in list(self.lists[number].members):
            self.leave(self.contacts[member], number)
        del self.lists[number]

    def drop_attribute(self, name: str) -> None:
        """Delete an attribute and its values."""
        del self.attributes[name]
        for contact in self.by_creation:
            if name in PHONE_KINDS and contact.identity(name):
                del self.owners[name][contact.identity(name)]
            contact.attributes.pop(name, None)
        self.touch()

    def find_list(self, text: str) -> ContactList:
        """Return the list with this number; refuses with 404 where there is none."""
        if not text.isdecimal() or int(text) not in self.lists:
            raise RefusedError(404, "document_not_found", "List ID does not exist")
        return self.lists[int(text)]

    def find_folder(self, text: str) -> int:
        """Return the folder's number; refuses with 404 where there is none."""
        if not text.isdecimal() or int(text) not in self.folders:
            raise RefusedError(404, "document_not_found", "Folder ID does not exist")
        return int(text)

    def check_lists(self, numbers: Iterable[int]) -> None:
        """Raise unless all lists exist."""
        for number in numbers:
            if number not in self.lists:
                raise invalid(f"List id does not exist: {number}")

    def _apply(self, contact: Contact, fields: Fields) -> tuple[list[str], dict[str, Any]]:
        """Set the fields; returns which ones were touched, and the new values of those that changed."""
        self.touch()
        names: list[str] = []
        changes: dict[str, Any] = {}
        for kind, value in fields.claims.items():
            names.append(kind)
            if self._claim(contact, kind, value):
                changes[kind.upper()] = value
        for name, value in fields.attributes.items():
            outcome = self._set(contact, name, value, fields)
            if outcome is not None:
                names.append(name)
                if outcome:
                    changes[name] = contact.attributes.get(name, "")
        for number in fields.lists:
            names.append("listIds")
            self.join(contact, number)
        for number in fields.unlink:
            names.append("unlinkListIds")
            self.leave(contact, number)
        for flag in ("email_blacklisted", "sms_blacklisted"):
            wanted = getattr(fields, flag)
            if wanted is not None:
                names.append(flag)
                if getattr(contact, flag) != wanted:
                    changes[flag] = wanted
                    self._note_lifting(contact, lifted=not wanted)
                setattr(contact, flag, wanted)
        return names, changes

    def _set(self, contact: Contact, name: str, value: Any, fields: Fields) -> bool | None:
        """Set one attribute; says whether its value changed, or None where it is silently ignored."""
        attribute = self.attributes.get(name)
        if attribute is None or (name in PHONE_KINDS and value != ""):
            return None
        if value == "":
            if fields.clear and name in PHONE_KINDS:
                self.owners[name].pop(contact.identity(name), None)
            return contact.attributes.pop(name, None) is not None if fields.clear else None
        kept = attribute.accept(value, from_text=fields.cells)
        if kept is IGNORED:
            return None
        if name in contact.attributes and contact.attributes[name] == kept:
            return False
        contact.attributes[name] = kept
        return True

    def _note_lifting(self, contact: Contact, *, lifted: bool) -> None:
        if lifted and self.actor:
            self.lifted.append(contact.id)

    def _claim(self, contact: Contact, kind: str, value: str) -> bool:
        held = contact.identity(kind)
        if held and fold(kind, held) == fold(kind, value):
            return False
        if held:
            del self.owners[kind][fold(kind, held)]
        self.owners[kind][fold(kind, value)] = contact
        if kind == "email":
            if held:
                self._note_lifting(contact, lifted=contact.email_blacklisted)
                contact.email_blacklisted = False  # a changed address is resubscribed, as the vendor warns
            contact.email = value
        elif kind == "ext_id":
            contact.ext_id = value
        else:
            contact.attributes[kind] = value
        return True
