"""The words of a flow file about where results go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from penstock.flows.strict import Strict

SINKS: Mapping[str, tuple[str, ...]] = {
    "brevo": ("match", "attributes", "status", "lists", "event", "order", "product", "create-contacts", "connection"),
    "conversions": ("match", "columns", "mapping"),
    "files": ("match", "path", "columns"),
    "folder": ("match", "path", "columns"),
    "sql": ("match", "url", "table", "columns", "create"),
}
"""The words that each kind of sink takes."""
WRITES: Mapping[str, tuple[str, ...]] = {"brevo": ("attributes", "lists", "event", "order", "product")}
"""Of these at least one says what is written; for the other kinds it is `columns`."""
Scalar = str | int | float | bool | None


class EventPart(Strict):
    """An event written for each record that was judged anew."""

    name: str
    """Name of the event in Brevo."""
    date: str | None = None
    """When it happened."""
    properties: dict[str, Any] = Field(default={})
    """What it carries."""


class AttributePart(Strict):
    """An attribute of which more is said than its value."""

    value: Any
    """What it holds."""
    kind: Literal["text", "number", "date", "boolean", "category", "multiple-choice"] | None = None
    """What sort of values it takes where it has to be created; without it that follows from the value."""
    options: list[str] = Field(default=[])
    """Labels of a category or multiple-choice attribute, registered before they are used."""


class ListPart(Strict):
    """A family of lists: the contact is on the one that the value names."""

    value: Any
    """Which of the options it is; none of them where it is empty."""
    options: list[str] = Field(min_length=1)
    """All values there are: each has a list of its own."""


class SinkPart(Strict):
    """Where results go: `match` finds the target, the rest is what to set."""

    match: Any = None
    """What identifies the contact or row: an email, or a mapping such as `{ ext_id: … }`."""
    status: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,40}$")
    """Beginning of three more attributes that say of the values when, by which model and version they were made."""
    attributes: dict[str, AttributePart | Scalar | list[Any]] = Field(default={})
    """Brevo attributes to keep up to date."""
    lists: dict[str, ListPart | Scalar] = Field(default={})
    """Lists of our own: the contact is on a list while its condition is true."""
    event: EventPart | None = None
    """An event for each judged record."""
    order: dict[str, Any] = Field(default={})
    """An order for each record, by the names of Brevo's fields."""
    product: dict[str, Any] = Field(default={})
    """A product for each record, by the names of Brevo's fields."""
    create_contacts: bool = Field(False, alias="create-contacts")
    """Create contacts that Brevo does not know."""
    connection: str = "brevo"
    """Named connection to the Brevo account."""
    columns: dict[str, Any] = Field(default={})
    """What each column holds, for files and SQL; for conversions the fields that the mapping reads."""
    mapping: str | None = None
    """For conversions: how a row becomes an event, a preset or a mapping file."""
    path: str | None = None
    """File to write, for files; folder, for made files."""
    url: str | None = None
    """Database, for SQL."""
    table: str | None = None
    """Table, for SQL."""
    create: bool = False
    """Create the SQL table when it is missing."""

    def writes_something(self, kind: str) -> bool:
        """Tell whether the part says what a sink of this kind writes."""
        return any(getattr(self, word) for word in WRITES.get(kind, ("columns",)))

    def is_about_contacts(self) -> bool:
        """Tell whether what is written belongs to somebody: products do not."""
        return bool(self.attributes or self.lists or self.event or self.order or self.columns)


def value_of(part: Any) -> tuple[Any, tuple[str, ...]]:
    """Return the value of an attribute or list, and where it stands below its name."""
    return (part.value, ("value",)) if isinstance(part, (AttributePart, ListPart)) else (part, ())


def wish_of(part: Any) -> tuple[str, tuple[str, ...]]:
    """Return the kind of values that an attribute was given, and the options of an attribute or list."""
    kind = part.kind if isinstance(part, AttributePart) else None
    return kind or "", tuple(part.options) if isinstance(part, (AttributePart, ListPart)) else ()
