"""What the emulated Brevo account holds, and how a write changes it; handlers and seeds both go through here."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from penstock.sandbox.brevo_attributes import IGNORED, Attribute, make_attribute
from penstock.sandbox.brevo_records import KINDS, PHONE_KINDS, Contact, ContactList, Fields, Query, fold, read_claims
from penstock.sandbox.brevo_wire import RefusedError, format_time, invalid
from penstock.sandbox.world import World

if TYPE_CHECKING:
    from penstock.sandbox.brevo_events import Event
    from penstock.sandbox.brevo_imports import Process


class BrevoState:
    """One emulated account.

    `synthetic_addresses` gives contacts without an email address one at mailin-sms.com, as old accounts have.
    `per_list_unsubscription` shows `listUnsubscribed`. `duplicate_code` is the spelling of a conflict on update.
    `repeats` counts accepted writes that changed nothing, per operation.
    """

    def __init__(
        self,
        world: World,
        *,
        organization: str = "5f3a9c0d2b7e41a8",
        name_attributes: Sequence[str] = ("FIRSTNAME", "LASTNAME"),
        synthetic_addresses: bool = False,
        per_list_unsubscription: bool = False,
        duplicate_code: str = "invalid_parameter",
        import_delay: float = 1.0,
        import_rows_per_second: float = 2_000.0,
        event_delay: float = 2.0,
        keep_events: int = 1_000_000,
    ) -> None:
        """Open an account with Brevo's usual attributes and one folder. Delays are in seconds.

        Beyond `keep_events` the oldest are forgotten; the log of writes is bounded by the world's `keep`.
        """
        self.world = world
        self.organization = organization
        self.email = "owner@sandbox.example"
        self.synthetic_addresses = synthetic_addresses
        self.per_list_unsubscription = per_list_unsubscription
        self.duplicate_code = duplicate_code
        self.import_delay = import_delay
        self.import_rows_per_second = import_rows_per_second
        self.event_delay = event_delay
        self.keep_events = keep_events
        self.attributes: dict[str, Attribute] = {}
        self.contacts: dict[int, Contact] = {}
        self.by_creation: list[Contact] = []
        self.owners: dict[str, dict[str, Contact]] = {kind: {} for kind in KINDS}
        self.folders: dict[int, str] = {}
        self.lists: dict[int, ContactList] = {}
        self.processes: dict[int, Process] = {}
        self.waiting: deque[Process] = deque()
        self.events: deque[Event] = deque()
        self.events_of: dict[int, list[Event]] = {}
        self.repeats: Counter[str] = Counter()
        self._revision = 0
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._next = {"contact": 1, "list": 1, "folder": 1, "process": 1, "event": 1}
        self._selected: tuple[int, Query, list[Contact]] | None = None
        for name in (*name_attributes, *PHONE_KINDS):
            self.add_attribute(name)
        self.add_folder("Your first folder")

    def now(self) -> int:
        """Return the world's time in milliseconds."""
        return int(self.world.clock.now() * 1000)

    def next_id(self, kind: str) -> int:
        """Return the next number of a kind of object."""
        number = self._next[kind]
        self._next[kind] += 1
        return number

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
        contact = self._new_contact(created)
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

    def find(self, kind: str, value: str) -> Contact | None:
        """Return who owns an identifier; `kind` is one of KINDS or `id`."""
        if kind == "id":
            return self.contacts.get(int(value)) if value.isdecimal() else None
        return self.owners[kind].get(fold(kind, value))

    def select(self, query: Query) -> tuple[list[Contact], int]:
        """Return contacts in order of creation, and where in that list those wanted begin."""
        if query.created_since is not None and query == Query(created_since=query.created_since):
            return self.by_creation, bisect_right(self.by_creation, query.created_since, key=lambda one: one.created)
        if query == Query():
            return self.by_creation, 0
        if self._selected is None or self._selected[:2] != (self._revision, query):
            self._selected = (self._revision, query, self._scan(query))
        return self._selected[2], 0

    def _scan(self, query: Query) -> list[Contact]:
        rows = self._pool(query)
        if query.created_since is not None:
            rows = [row for row in rows if row.created > query.created_since]
        if query.modified_since is not None:
            rows = [row for row in rows if row.modified > query.modified_since]
        if query.equals is not None:
            name, wanted = query.equals
            attribute = self.attributes[name]
            rows = [row for row in rows if attribute.matches(row.attributes.get(name), wanted)]
        return rows

    def _pool(self, query: Query) -> list[Contact]:
        if not query.ids and not query.lists:
            return self.by_creation
        wanted: set[int] = set(query.ids)
        if query.lists:
            members: set[int] = set().union(*(self.lists[number].members for number in query.lists))
            wanted = wanted & members if query.ids else members
        found = [self.contacts[number] for number in wanted if number in self.contacts]
        return sorted(found, key=_creation)

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
        if self.per_list_unsubscription:
            shown["listUnsubscribed"] = contact.unsubscribed
        return shown

    # --- writes ------------------------------------------------------------------------------------------------

    def conflicts(self, claims: Mapping[str, str], target: Contact | None) -> list[str]:
        """Return the kinds of identifiers among `claims` that belong to somebody other than `target`."""
        owners = {kind: self.find(kind, value) for kind, value in claims.items()}
        return [kind for kind, owner in owners.items() if owner is not None and owner is not target]

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
        contact = self._new_contact(moment) if target is None else target
        names, changed = self._apply(contact, fields)
        if target is None and self.synthetic_addresses and not contact.email and contact.identity("SMS"):
            self._claim(contact, "email", f"{contact.identity('SMS')}@mailin-sms.com")
        contact.modified = max(moment, contact.modified)
        if target is not None and not changed:
            self.repeats[operation] += 1
        self.world.wrote("brevo", operation, str(contact.id), tuple(names))
        return contact

    def remove(self, contact: Contact) -> None:
        """Delete a contact."""
        del self.by_creation[bisect_left(self.by_creation, _creation(contact), key=_creation)]
        del self.contacts[contact.id]
        for kind in KINDS:
            if value := contact.identity(kind):
                del self.owners[kind][fold(kind, value)]
        for number in contact.lists:
            self.lists[number].members.discard(contact.id)
        self._revision += 1

    def keep_event(self, event: Event) -> None:
        """Keep an event, and forget the oldest when there are too many."""
        self.events.append(event)
        if event.contact is not None:
            self.events_of.setdefault(event.contact, []).append(event)
        if len(self.events) > self.keep_events:
            oldest = self.events.popleft()
            if oldest.contact is not None:
                self.events_of[oldest.contact].pop(0)

    def join(self, contact: Contact, number: int) -> bool:
        """Put a contact on a list; says whether it was not there before."""
        if number in contact.lists:
            return False
        lists = (*contact.lists, number)
        contact.lists = self._shared.setdefault(lists, lists)  # a million contacts are on few different lists
        self.lists[number].members.add(contact.id)
        self._revision += 1
        return True

    def leave(self, contact: Contact, number: int) -> bool:
        """Take a contact off a list; says whether it was there."""
        if number not in contact.lists:
            return False
        contact.lists = tuple(one for one in contact.lists if one != number)
        self.lists[number].members.discard(contact.id)
        self._revision += 1
        return True

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
        self._revision += 1

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

    def _new_contact(self, created: int) -> Contact:
        contact = Contact(self.next_id("contact"), created, created)
        self.contacts[contact.id] = contact
        if not self.by_creation or _creation(self.by_creation[-1]) < _creation(contact):
            self.by_creation.append(contact)
        else:
            insort(self.by_creation, contact, key=_creation)
        return contact

    def _apply(self, contact: Contact, fields: Fields) -> tuple[list[str], bool]:
        self._revision += 1
        names: list[str] = []
        changed = False
        for kind, value in fields.claims.items():
            names.append(kind)
            changed |= self._claim(contact, kind, value)
        for name, value in fields.attributes.items():
            outcome = self._set(contact, name, value, fields)
            if outcome is not None:
                names.append(name)
                changed |= outcome
        for number in fields.lists:
            names.append("listIds")
            changed |= self.join(contact, number)
        for number in fields.unlink:
            names.append("unlinkListIds")
            changed |= self.leave(contact, number)
        for flag in ("email_blacklisted", "sms_blacklisted"):
            wanted = getattr(fields, flag)
            if wanted is not None:
                names.append(flag)
                changed |= getattr(contact, flag) != wanted
                setattr(contact, flag, wanted)
        return names, changed

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

    def _claim(self, contact: Contact, kind: str, value: str) -> bool:
        held = contact.identity(kind)
        if held and fold(kind, held) == fold(kind, value):
            return False
        if held:
            del self.owners[kind][fold(kind, held)]
        self.owners[kind][fold(kind, value)] = contact
        if kind == "email":
            if held:
                contact.email_blacklisted = False  # a changed address is resubscribed, as the vendor warns
            contact.email = value
        elif kind == "ext_id":
            contact.ext_id = value
        else:
            contact.attributes[kind] = value
        return True


def _creation(contact: Contact) -> tuple[int, int]:
    return contact.created, contact.id
