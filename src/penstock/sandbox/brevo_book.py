"""Who is in the emulated Brevo account, in which order, under which identifiers, and on which lists."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping

from penstock.sandbox.brevo_attributes import Attribute
from penstock.sandbox.brevo_records import KINDS, Contact, ContactList, Query, fold


class ContactBook:
    """Contacts with their indexes; look-ups and pages cost the same however many there are."""

    def __init__(self) -> None:
        self.attributes: dict[str, Attribute] = {}
        self.contacts: dict[int, Contact] = {}
        self.by_creation: list[Contact] = []
        self.owners: dict[str, dict[str, Contact]] = {kind: {} for kind in KINDS}
        self.lists: dict[int, ContactList] = {}
        self._revision = 0
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._selected: tuple[int, Query, list[Contact]] | None = None

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
        for name, wanted in query.equals:
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

    def conflicts(self, claims: Mapping[str, str], target: Contact | None) -> list[str]:
        """Return the kinds of identifiers among `claims` that belong to somebody other than `target`."""
        owners = {kind: self.find(kind, value) for kind, value in claims.items()}
        return [kind for kind, owner in owners.items() if owner is not None and owner is not target]

    def open_contact(self, number: int, created: int) -> Contact:
        """Put an empty contact into the book."""
        return self.keep_contact(Contact(number, created, created))

    def keep_contact(self, contact: Contact) -> Contact:
        """Put a contact into the book, under its id and in its order; its identifiers are claimed elsewhere."""
        self.contacts[contact.id] = contact
        if not self.by_creation or _creation(self.by_creation[-1]) < _creation(contact):
            self.by_creation.append(contact)
        else:
            insort(self.by_creation, contact, key=_creation)
        return contact

    def close_contact(self, contact: Contact) -> None:
        """Take a contact out of the book, with its identifiers and its places on lists."""
        del self.by_creation[bisect_left(self.by_creation, _creation(contact), key=_creation)]
        del self.contacts[contact.id]
        for kind in KINDS:
            if value := contact.identity(kind):
                del self.owners[kind][fold(kind, value)]
        for number in contact.lists:
            self.lists[number].members.discard(contact.id)
        self._revision += 1

    def touch(self) -> None:
        """Let selections be made anew, because a contact was changed outside of `write`."""
        self._revision += 1

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


def _creation(contact: Contact) -> tuple[int, int]:
    return contact.created, contact.id
